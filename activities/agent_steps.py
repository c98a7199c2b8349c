"""One step of a run: one streamed call of a model, paid for whatever becomes of it."""

import asyncio
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.agent_calls import CheckedCall, check, enter
from activities.agent_context import Prompt, read_prompt
from activities.agent_means import AgentMeans, Call, source_key
from activities.agent_settlement import LOST, settle_lost
from activities.run_stream import RunStream
from adapters.llm.models import Models
from database.agent_models import AgentRun, UsageRecord
from database.agent_runs import AgentRunRepository
from database.conversations import ConversationRepository
from database.run_events import RunEventRepository
from database.session import Sessions
from database.tool_calls import ToolCallRepository
from database.usage_records import UsageRepository
from domain.agent_runs import CallRef, StepOrder, StepReply
from domain.budgets import Reservation
from domain.errors import ApplicationError, NotFoundError
from domain.ids import agent_run_workflow_id
from domain.llm import FinishReason, ModelReply, ModelRequest, Role, TokenUsage
from domain.routing import RATE_LIMITED, ModelNames, route
from domain.run_events import RunEventKind, RunEventNote

log = structlog.get_logger(__name__)

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Attempts that say nothing against the model.
_NO_FAILURES = frozenset({SUCCEEDED, CANCELED, LOST, RATE_LIMITED, None})


class Prepared(NamedTuple):
    """An attempt whose worst case is reserved."""

    run: AgentRun
    prompt: Prompt
    request: ModelRequest
    reservation: Reservation
    attempt: int


class StepActivities:
    """Asks models."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        names: ModelNames,
        means: AgentMeans,
        stream: RunStream,
    ) -> None:
        self._sessions = sessions
        self._models = models
        self._names = names
        self._means = means
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
            ProviderRejectedError: The provider refused for good.
        """
        structlog.contextvars.bind_contextvars(agent_id=str(order.agent_run_id))
        if (known := await self._known(order)) is not None:
            return known
        prepared = await self._prepare(order, activity.info().attempt)
        received: list[str] = []

        def on_text(piece: str) -> None:
            received.append(piece)
            attempt, step = prepared.attempt, order.step
            self._stream.put_token(order.agent_run_id, piece, attempt=attempt, step=step)

        try:
            reply = await self._models.ask(prepared.request, on_text)
        except ApplicationError as error:
            await self._write_off(order, prepared, len(received), error.error_code)
            raise
        except asyncio.CancelledError:
            await self._write_off(order, prepared, len(received), CANCELED)
            raise
        await self._stream.drain(order.agent_run_id)
        return await self._keep(order, prepared, reply, len(received))

    async def _known(self, order: StepOrder) -> StepReply | None:
        """Return what an earlier attempt has stored, if its answer got lost on the way back."""
        async with self._sessions() as session:
            key = _message_key(order)
            if await ConversationRepository(session).has_message(key):
                return await _reply(session, order)
        return None

    async def _prepare(self, order: StepOrder, attempt: int) -> Prepared:
        async with self._sessions.begin() as session:
            run = await AgentRunRepository(session).get(order.agent_run_id, None)
            if run is None:
                raise NotFoundError("there is no such run")
            await settle_lost(session, self._means, run)
            prompt = await read_prompt(session, run)
            earlier = await UsageRepository(session).of_step(run.agent_run_id, order.step)
            failures = sum(record.outcome not in _NO_FAILURES for record in earlier)
            call = Call(
                step=order.step,
                attempt=attempt,
                model=route(self._names, prompt.spec.difficulty, failures),
                prompt_tokens=prompt.token_count,
                wanted_tokens=prompt.spec.max_answer_tokens,
            )
            reservation = await self._means.reserve(session, run, call)
            facts = {"step": order.step, "attempt": attempt, "model": call.model}
            note = RunEventNote(kind=RunEventKind.STEP, data=facts)
            await RunEventRepository(session).append(run.agent_run_id, [note])
        request = ModelRequest(
            model=call.model,
            messages=prompt.messages,
            tools=prompt.tools,
            max_tokens=reservation.max_tokens,
        )
        return Prepared(run, prompt, request, reservation, attempt)

    async def _write_off(
        self,
        order: StepOrder,
        prepared: Prepared,
        received_count: int,
        outcome: str,
    ) -> None:
        """Pay for an attempt that brought nothing.

        A model that began to answer has read the prompt; what that took is guessed from above.
        """
        used = TokenUsage()
        if received_count or outcome == CANCELED:
            used = _estimate(prepared, received_count)
        async with self._sessions.begin() as session:
            record = await self._record(session, order, prepared.attempt)
            is_guessed = used.total > 0
            await self._means.settle(
                session, record, used, outcome=outcome, is_estimated=is_guessed
            )

    async def _keep(
        self,
        order: StepOrder,
        prepared: Prepared,
        reply: ModelReply,
        received_count: int,
    ) -> StepReply:
        """Store the model's message, its calls and what it cost, all or nothing."""
        spec = prepared.prompt.spec
        calls = [check(order, spec, place, asked) for place, asked in enumerate(reply.tool_calls)]
        async with self._sessions.begin() as session:
            record = await self._record(session, order, prepared.attempt)
            used = reply.usage or _estimate(prepared, received_count)
            is_guessed = reply.usage is None
            await self._means.settle(
                session, record, used, outcome=SUCCEEDED, is_estimated=is_guessed
            )
            if reply.usage is not None:
                await self._mend_guesses(session, order, reply.usage)
            run = await AgentRunRepository(session).lock(order.agent_run_id)
            if run is None or run.completed_at is not None:
                return StepReply(is_answer=True)  # the run was ended while we were asking
            return await _store(session, run, order, prepared, reply, calls)

    async def _mend_guesses(
        self,
        session: AsyncSession,
        order: StepOrder,
        usage: TokenUsage,
    ) -> None:
        """Correct attempts that broke off: they asked the same, so they read just as much."""
        for record in await UsageRepository(session).of_step(order.agent_run_id, order.step):
            if record.is_estimated and record.outcome != CANCELED:
                used = TokenUsage(
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=record.completion_token_count,
                )
                outcome = record.outcome or LOST
                await self._means.settle(session, record, used, outcome=outcome, is_estimated=True)

    @staticmethod
    async def _record(session: AsyncSession, order: StepOrder, attempt: int) -> UsageRecord:
        key = source_key(order.agent_run_id, order.step, attempt)
        return await UsageRepository(session).get(key)


async def _store(
    session: AsyncSession,
    run: AgentRun,
    order: StepOrder,
    prepared: Prepared,
    reply: ModelReply,
    calls: list[CheckedCall],
) -> StepReply:
    await ConversationRepository(session).add_message(
        run.conversation_id,
        _message_key(order),
        Role.ASSISTANT,
        reply.text,
        agent_run_id=run.agent_run_id,
        tool_calls=[call.stored for call in calls],
    )
    facts = {
        "role": Role.ASSISTANT,
        "text": reply.text,
        "step": order.step,
        "attempt": prepared.attempt,
        "finish_reason": reply.finish_reason,
    }
    said = RunEventNote(kind=RunEventKind.MESSAGE, data=facts)
    entered = await enter(session, run, order, prepared.prompt.spec, calls)
    await RunEventRepository(session).append(run.agent_run_id, [said, *entered.notes])
    is_cut = reply.finish_reason is FinishReason.LENGTH and prepared.reservation.is_cut
    return StepReply(calls=entered.made, is_answer=not calls, is_cut_by_budget=is_cut)


async def _reply(session: AsyncSession, order: StepOrder) -> StepReply:
    """Tell again what a step wanted, from the ledger."""
    calls = ToolCallRepository(session)
    asked = await calls.of_step(order.agent_run_id, order.step)
    made = []
    for call in asked:
        if call.completed_at is None:
            approval = await calls.approval(call.call_id)
            until = approval.expires_at if approval else None
            made.append(CallRef(call_id=call.call_id, tool=call.tool, expires_at=until))
    return StepReply(calls=tuple(made), is_answer=not asked)


def _estimate(prepared: Prepared, received_count: int) -> TokenUsage:
    completion = min(received_count, prepared.reservation.max_tokens)
    return TokenUsage(
        prompt_tokens=prepared.prompt.token_count,
        completion_tokens=completion,
    )


def _message_key(order: StepOrder) -> str:
    return f"{agent_run_workflow_id(order.agent_run_id)}:step:{order.step}"
