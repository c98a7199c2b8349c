"""Closes runs: settles open attempts, writes the result, and ends the stream with `done`."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from database.agents.tool_outcomes import ToolOutcomeRepository
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.agents.citations import cite
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import CloseRunInput, CloseRunResult, RunFinish, RunStatus
from domain.llm.json_output import texts_of
from observability.metrics import AGENT_DURATION, AGENT_REQUESTS
from services.agents.prompts import passages_of
from services.agents.run_records import append_run_events, run_status_event, tell_parent
from services.agents.token_stream import RunStream
from services.agents.usage import UsageMeter, settle_open_attempts


class RunClosing:
    """Closes agent runs."""

    def __init__(
        self,
        sessions: Sessions,
        meter: UsageMeter,
        stream: RunStream,
        wake_memories: Callable[[], None] = lambda: None,
    ) -> None:
        self._sessions = sessions
        self._wake_memories = wake_memories
        self._meter = meter
        self._stream = stream

    async def close(self, end: CloseRunInput) -> CloseRunResult:
        """Record how a run ended; `done` is the last event of its stream.

        Args:
            end: How the run ended.

        Returns:
            The id of the next run in the conversation.
        """
        await self._stream.drain(end.agent_run_id)
        async with self._sessions.begin() as session:
            runs = AgentRunRepository(session)
            run = await runs.get(end.agent_run_id, None)
            if run is None:
                return CloseRunResult()  # it was refused before it had a row
            await ConversationRepository(session).lock(run.conversation_id)
            await runs.lock(run.agent_run_id)
            is_first = run.completed_at is None
            if is_first:
                await self._end(session, run, end)
            queued_run_ids = [
                row.agent_run_id
                for row in await runs.open_runs_of_conversation(run.conversation_id)
                if row.agent_run_id != run.agent_run_id
            ]
        if end.is_remembered:
            self._wake_memories()
        if is_first:
            AGENT_REQUESTS.labels(run.agent, end.run_status).inc()
            age = datetime.now(UTC) - run.created_at
            AGENT_DURATION.labels(run.agent).observe(age.total_seconds())
        return CloseRunResult(next_agent_run_id=queued_run_ids[0] if queued_run_ids else None)

    async def _end(self, session: AsyncSession, run: AgentRun, end: CloseRunInput) -> None:
        attempts = await UsageRepository(session).of_run(run.agent_run_id)
        await settle_open_attempts(session, self._meter, attempts)
        await ToolCallRepository(session).expire_pending(run.agent_run_id)
        await ToolOutcomeRepository(session).give_up(run.agent_run_id)
        finish = _finish(run, end)
        # Reason: text that the model wrote before a tool call is not an answer.
        has_output = finish is not RunFinish.EMPTY
        messages = MessageRepository(session)
        output = await messages.last_answer(run.agent_run_id) if has_output else None
        is_complete = end.run_status is RunStatus.COMPLETED
        said = output or "" if run.output_data is None else texts_of(run.output_data)
        citations = cite(said, passages_of(run)) if is_complete else ()
        done_data = {"run_status": end.run_status, "finish_reason": finish}
        done = NewRunEvent(kind=RunEventKind.DONE, data=done_data)
        events = [run_status_event(end.run_status), done]
        if end.error_code is not None:
            facts = {"code": end.error_code, "message": end.error_message}
            events.insert(0, NewRunEvent(kind=RunEventKind.ERROR, data=facts))
        await append_run_events(session, run.agent_run_id, *events)
        if run.parent_run_id is not None:
            told = (run.agent_run_id, run.parent_run_id, run.agent, end.run_status)
            await tell_parent(session, *told)
        values = {
            "run_status": end.run_status,
            "output": output,
            "finish_reason": finish,
            "citations_data": [citation.model_dump(mode="json") for citation in citations],
            "error_code": end.error_code,
            "error_message": end.error_message,
            "completed_at": (now := datetime.now(UTC)),
            "memory_due_at": now if end.is_remembered and output else None,
        }
        await AgentRunRepository(session).change(run.agent_run_id, values)


def _finish(run: AgentRun, end: CloseRunInput) -> RunFinish | None:
    """Return why the model stopped, if the run ended with its answer."""
    is_completed = end.run_status is RunStatus.COMPLETED
    is_failed_answer = run.finish_reason is not None and end.error_code == run.finish_reason
    if run.finish_reason is None or not (is_completed or is_failed_answer):
        return None
    return RunFinish(run.finish_reason)
