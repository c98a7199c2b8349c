"""One step of a run: one streamed call of a model."""

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.agent_attempts import CANCELED, SUCCEEDED, Attempt, Attempts
from activities.agent_calls import check, enter
from activities.run_stream import RunStream
from adapters.llm.models import Models
from adapters.llm.port import Progress
from agents.registry import find_agent
from database.agent_models import AgentRun
from database.agent_runs import AgentRunRepository, RunAtStep
from database.conversations import ConversationRepository
from database.messages import MessageRepository
from database.run_events import RunEventRepository
from database.session import Sessions
from database.tool_calls import ToolCallRepository
from database.usage_records import UsageRepository
from domain.agent_runs import CallRef, StepOrder, StepReply
from domain.errors import ApplicationError, NotFoundError, ProviderRejectedError
from domain.ids import agent_run_workflow_id
from domain.llm import FinishReason, ModelReply, Role
from domain.run_events import RunEventKind, RunEventNote


class StepActivities:
    """Asks models."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        attempts: Attempts,
        stream: RunStream,
    ) -> None:
        self._sessions = sessions
        self._models = models
        self._attempts = attempts
        self._stream = stream

    @activity.defn
    async def think(self, order: StepOrder) -> StepReply:
        """Ask the model once, stream what it writes, and store what it wants.

        Args:
            order: Which step; a step that is stored already is not asked again.

        Returns:
            The calls to be made, or that this is the answer.

        Raises:
            BudgetExceededError: What is left does not suffice.
            ProviderUnavailableError: The model failed; a later attempt may not.
            ProviderRejectedError: The provider refused for good, or the model said nothing before
                it was cut off or refused (`model_no_answer`).
        """
        structlog.contextvars.bind_contextvars(agent_id=str(order.agent_run_id))
        async with self._sessions.begin() as session:
            found = await _find(session, order)
            if found.is_stored:
                return await known_reply(session, order)
            attempt = await self._attempts.begin(session, found, order, activity.info().attempt)
        progress = Progress()

        def on_text(piece: str) -> None:
            number, step = attempt.number, order.step
            self._stream.put_token(order.agent_run_id, piece, attempt=number, step=step)

        try:
            reply = await self._models.ask(attempt.request, on_text, progress)
            _refuse_silence(attempt, reply)
            return await self._keep(attempt, reply, progress)
        except ApplicationError as error:
            await self._attempts.write_off(attempt, progress, error.error_code)
            raise
        except asyncio.CancelledError:
            await self._attempts.write_off(attempt, progress, CANCELED)
            raise

    async def _keep(self, attempt: Attempt, reply: ModelReply, progress: Progress) -> StepReply:
        """Store what was told last, the message, its calls and their cost, all or nothing."""
        agent_run_id = attempt.order.agent_run_id
        told = await self._stream.take(agent_run_id)
        is_decided = False
        try:
            async with self._sessions.begin() as session:
                answer = await self._write(session, attempt, reply, progress, told)
                is_decided = True
        except BaseException:
            # Reason: a commit whose answer was lost may have happened, and text must not double.
            if not is_decided:
                self._stream.put_back(agent_run_id, told)
            raise
        return answer

    async def _write(
        self,
        session: AsyncSession,
        attempt: Attempt,
        reply: ModelReply,
        progress: Progress,
        told: Sequence[RunEventNote],
    ) -> StepReply:
        await ConversationRepository(session).lock(attempt.conversation_id)
        run = await AgentRunRepository(session).lock(attempt.order.agent_run_id)
        if run is None:
            raise NotFoundError("there is no such run")
        await self._attempts.pay(session, attempt, reply, progress)
        if run.completed_at is not None:
            return StepReply(is_answer=True)  # the run was ended while we were asking
        return await _store(session, run, attempt, reply, told)


async def _find(session: AsyncSession, order: StepOrder) -> RunAtStep:
    found = await AgentRunRepository(session).at_step(order.agent_run_id, _message_key(order))
    if found is None:
        raise NotFoundError("there is no such run")
    return found


def _refuse_silence(attempt: Attempt, reply: ModelReply) -> None:
    """Let no run complete that has no answer: its room went into a call that was cut, say."""
    is_cut = reply.finish_reason is FinishReason.LENGTH and not attempt.reservation.is_cut
    is_refused = reply.finish_reason is FinishReason.REFUSED
    if (is_cut or is_refused) and not reply.text.strip() and not reply.tool_calls:
        raise ProviderRejectedError(
            "the model ended without an answer",
            "model_no_answer",
            {"finish_reason": reply.finish_reason},
        )


async def known_reply(session: AsyncSession, order: StepOrder) -> StepReply:
    """Return what an earlier attempt has stored; its answer got lost on the way back."""
    ledger = ToolCallRepository(session)
    asked = await ledger.of_step(order.agent_run_id, order.step)
    untils = {row.call_id: row.expires_at for row in await ledger.approvals(order.agent_run_id)}
    made = [
        CallRef(call_id=call.call_id, tool=call.tool, expires_at=untils.get(call.call_id))
        for call in asked
        if call.completed_at is None
    ]
    is_cut = not asked and await _was_cut(session, order)
    return StepReply(calls=tuple(made), is_answer=not asked, is_cut_by_budget=is_cut)


async def _was_cut(session: AsyncSession, order: StepOrder) -> bool:
    """Tell whether an answer fills a reservation that the budget had cut."""
    run = await AgentRunRepository(session).get(order.agent_run_id, None)
    attempts = await UsageRepository(session).of_step(order.agent_run_id, order.step)
    wanted = find_agent(run.agent).max_answer_tokens if run else 0
    return any(
        attempt.reserved_completion_token_count < wanted
        and attempt.completion_token_count >= attempt.reserved_completion_token_count
        for attempt in attempts
        if attempt.outcome == SUCCEEDED
    )


async def _store(
    session: AsyncSession,
    run: AgentRun,
    attempt: Attempt,
    reply: ModelReply,
    told: Sequence[RunEventNote],
) -> StepReply:
    order, spec = attempt.order, attempt.prompt.spec
    calls = [check(order, spec, place, asked) for place, asked in enumerate(reply.tool_calls)]
    is_new = await MessageRepository(session).add(
        run.conversation_id,
        _message_key(order),
        Role.ASSISTANT,
        reply.text,
        agent_run_id=run.agent_run_id,
        tool_calls=[call.stored for call in calls],
    )
    if not is_new:
        # Reason: an attempt that was given up for lost has come first after all.
        if told:
            await RunEventRepository(session).append(run.agent_run_id, told)
        return await known_reply(session, order)
    facts = {
        "role": Role.ASSISTANT,
        "text": reply.text,
        "step": order.step,
        "attempt": attempt.number,
        "finish_reason": reply.finish_reason,
    }
    said = RunEventNote(kind=RunEventKind.MESSAGE, data=facts)
    entered = await enter(session, run, order, spec, calls)
    await RunEventRepository(session).append(run.agent_run_id, [*told, said, *entered.notes])
    is_cut = reply.finish_reason is FinishReason.LENGTH and attempt.reservation.is_cut
    return StepReply(calls=entered.made, is_answer=not calls, is_cut_by_budget=is_cut)


def _message_key(order: StepOrder) -> str:
    return f"{agent_run_workflow_id(order.agent_run_id)}:step:{order.step}"
