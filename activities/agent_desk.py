"""How a run begins, waits for its turn, and ends: rows only, no outside system."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.agent_means import AgentMeans
from activities.agent_settlement import settle_lost
from activities.run_stream import RunStream
from database.agent_models import AgentRun
from database.agent_runs import AgentRunRepository
from database.conversations import ConversationRepository
from database.run_events import RunEventRepository
from database.session import Sessions
from database.tool_calls import ToolCallRepository
from domain.agent_runs import (
    Closed,
    NewRunMessage,
    OnBusy,
    RunEnd,
    RunRequest,
    RunStatus,
    Turn,
)
from domain.citations import Citation, CitedPassage, cite
from domain.errors import ConflictError, NotFoundError
from domain.ids import agent_run_workflow_id
from domain.llm import Role
from domain.run_events import RunEventKind, RunEventNote
from observability import AGENT_DURATION, AGENT_REQUESTS

TITLE_LENGTH = 80


class AgentDeskActivities:
    """Opens runs and closes them."""

    def __init__(self, sessions: Sessions, means: AgentMeans, stream: RunStream) -> None:
        self._sessions = sessions
        self._means = means
        self._stream = stream

    @activity.defn
    async def open_run(self, request: RunRequest) -> Turn:
        """Admit a run and write its row, or find the one that is there.

        Args:
            request: What is to run.

        Returns:
            Whether it may begin at once.

        Raises:
            EntitlementRequiredError: No subscription gives access; no row is left behind.
            LimitReachedError: The plan's limits are used up; neither.
            ConflictError: The conversation is busy, and the run was not to wait.
        """
        async with self._sessions.begin() as session:
            runs, conversations = AgentRunRepository(session), ConversationRepository(session)
            known = await runs.get(request.agent_run_id, None)
            if known is not None:
                return Turn(is_now=known.run_status != RunStatus.QUEUED)
            standing = await self._means.admit(session, request)
            title = request.input[:TITLE_LENGTH]
            await conversations.put(request.conversation_id, request.user_id, title)
            if await conversations.get(request.conversation_id, request.user_id) is None:
                raise NotFoundError("there is no such conversation")
            await conversations.lock(request.conversation_id)
            is_busy = bool(await runs.open_ones(request.conversation_id))
            if is_busy and request.on_busy is OnBusy.REJECT:
                raise ConflictError(
                    "another run of this conversation is not over yet",
                    "conversation_busy",
                )
            booking = standing.booking or (None, None)
            await runs.add(_columns(request, *booking))
            run = await self._run(session, request.agent_run_id)
            await self._means.book_run(session, run)
            await _tell(session, run.agent_run_id, _status(RunStatus.QUEUED))
            if not is_busy:
                await self._begin(session, run, request)
            return Turn(is_now=not is_busy)

    @activity.defn
    async def take_turn(self, request: RunRequest) -> Turn:
        """Begin, if all older runs of the conversation are over.

        Args:
            request: What is to run.

        Returns:
            Whether it has begun.
        """
        async with self._sessions.begin() as session:
            await ConversationRepository(session).lock(request.conversation_id)
            open_ones = await AgentRunRepository(session).open_ones(request.conversation_id)
            first = open_ones[0] if open_ones else None
            if first is None or first.agent_run_id != request.agent_run_id:
                return Turn(is_now=False)
            if first.run_status == RunStatus.QUEUED:
                await self._begin(session, first, request)
            return Turn(is_now=True)

    @activity.defn
    async def add_run_message(self, message: NewRunMessage) -> None:
        """Add what a user says while the run is going on; its next step reads it.

        Args:
            message: Which run, and what.
        """
        async with self._sessions.begin() as session:
            run = await self._run(session, message.agent_run_id)
            is_new = await ConversationRepository(session).add_message(
                run.conversation_id,
                f"message:{message.command_id}",
                Role.USER,
                message.content,
                agent_run_id=run.agent_run_id,
            )
            if is_new:
                note = _said(Role.USER, message.content)
                await _tell(session, run.agent_run_id, note)

    @activity.defn
    async def close_run(self, end: RunEnd) -> Closed:
        """Write down how a run ended; `done` is the last that its stream tells.

        Args:
            end: How it ended.

        Returns:
            Who is next in the conversation.
        """
        await self._stream.drain(end.agent_run_id)
        async with self._sessions.begin() as session:
            runs = AgentRunRepository(session)
            run = await runs.get(end.agent_run_id, None)
            if run is None:
                return Closed()  # it was refused before it had a row
            await ConversationRepository(session).lock(run.conversation_id)
            is_first = run.completed_at is None
            if is_first:
                await self._end(session, run, end)
            waiting = [
                row.agent_run_id
                for row in await runs.open_ones(run.conversation_id)
                if row.agent_run_id != run.agent_run_id
            ]
        if is_first:
            AGENT_REQUESTS.labels(run.agent, end.run_status).inc()
            age = datetime.now(UTC) - run.created_at
            AGENT_DURATION.labels(run.agent).observe(age.total_seconds())
        return Closed(next_agent_run_id=waiting[0] if waiting else None)

    async def _begin(self, session: AsyncSession, run: AgentRun, request: RunRequest) -> None:
        await ConversationRepository(session).add_message(
            request.conversation_id,
            f"{agent_run_workflow_id(request.agent_run_id)}:input",
            Role.USER,
            request.input,
            agent_run_id=request.agent_run_id,
        )
        values = {"run_status": RunStatus.RUNNING, "started_at": datetime.now(UTC)}
        await AgentRunRepository(session).change(run.agent_run_id, values)
        said = _said(Role.USER, request.input)
        await _tell(session, run.agent_run_id, _status(RunStatus.RUNNING), said)

    async def _end(self, session: AsyncSession, run: AgentRun, end: RunEnd) -> None:
        await settle_lost(session, self._means, run)
        await ToolCallRepository(session).expire_pending(run.agent_run_id)
        output = await ConversationRepository(session).last_answer(run.agent_run_id)
        is_complete = end.run_status is RunStatus.COMPLETED
        citations = _citations(run, output or "") if is_complete else ()
        values = {
            "run_status": end.run_status,
            "output": output,
            "citations_data": [citation.model_dump(mode="json") for citation in citations],
            "error_code": end.error_code,
            "error_message": end.error_message,
            "completed_at": datetime.now(UTC),
        }
        await AgentRunRepository(session).change(run.agent_run_id, values)
        done = RunEventNote(kind=RunEventKind.DONE, data={"run_status": end.run_status})
        notes = [_status(end.run_status), done]
        if end.error_code is not None:
            facts = {"code": end.error_code, "message": end.error_message}
            notes.insert(0, RunEventNote(kind=RunEventKind.ERROR, data=facts))
        await _tell(session, run.agent_run_id, *notes)

    async def _run(self, session: AsyncSession, agent_run_id: UUID) -> AgentRun:
        run = await AgentRunRepository(session).get(agent_run_id, None)
        if run is None:
            raise NotFoundError("there is no such run")
        return run


def _columns(
    request: RunRequest,
    subscription_id: UUID | None,
    period_start: datetime | None,
) -> dict[str, object]:
    return {
        "agent_run_id": request.agent_run_id,
        "user_id": request.user_id,
        "conversation_id": request.conversation_id,
        "agent": request.agent,
        "prompt_version": request.prompt_version,
        "run_status": RunStatus.QUEUED,
        "budget_token_count": request.budget.token_count,
        "budget_cost_cents": request.budget.cost_cents,
        "subscription_id": subscription_id,
        "period_start": period_start,
        "workflow_id": agent_run_workflow_id(request.agent_run_id),
    }


def _citations(run: AgentRun, output: str) -> tuple[Citation, ...]:
    return cite(output, [CitedPassage(**passage) for passage in run.passages_data or ()])


async def _tell(session: AsyncSession, agent_run_id: UUID, *notes: RunEventNote) -> None:
    await RunEventRepository(session).append(agent_run_id, notes)


def _status(status: RunStatus) -> RunEventNote:
    return RunEventNote(kind=RunEventKind.STATUS, data={"run_status": status})


def _said(role: Role, text: str) -> RunEventNote:
    return RunEventNote(kind=RunEventKind.MESSAGE, data={"role": role, "text": text})
