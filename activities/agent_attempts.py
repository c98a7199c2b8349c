"""Attempts at a step: reserved at their worst case, and paid for whatever becomes of them."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.agent_context import Prompt, read_prompt
from activities.agent_means import AgentMeans, Call, source_key
from activities.agent_settlement import LOST, settle_lost
from adapters.llm.port import Progress
from database.agent_runs import RunAtStep
from database.run_events import RunEventRepository
from database.session import Sessions
from database.usage_records import UsageRepository
from domain.agent_runs import StepOrder
from domain.budgets import Reservation
from domain.errors import UnavailableError
from domain.llm import ModelReply, ModelRequest, TokenUsage
from domain.routing import RATE_LIMITED, ModelNames, route
from domain.run_events import RunEventKind, RunEventNote

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Attempts that say nothing against the model.
_NO_FAILURES = frozenset({SUCCEEDED, CANCELED, LOST, RATE_LIMITED, UnavailableError.code, None})


class Attempt(NamedTuple):
    """An attempt whose worst case is reserved.

    Args:
        order: Which step it is made at.
        number: Which one at the step, from 1.
        has_earlier: Others were made at the step before it.
        conversation_id: Where its answer belongs.
        prompt: What the model gets to read.
        request: What is asked of it.
        reservation: What it may cost.
    """

    order: StepOrder
    number: int
    has_earlier: bool
    conversation_id: UUID
    prompt: Prompt
    request: ModelRequest
    reservation: Reservation

    @property
    def source_key(self) -> str:
        """What makes its record unique."""
        return source_key(self.order.agent_run_id, self.order.step, self.number)


class Attempts:
    """The attempts' book."""

    def __init__(self, sessions: Sessions, names: ModelNames, means: AgentMeans) -> None:
        self._sessions = sessions
        self._names = names
        self._means = means

    async def begin(
        self,
        session: AsyncSession,
        at_step: RunAtStep,
        order: StepOrder,
        number: int,
    ) -> Attempt:
        """Read the prompt, choose the model, and reserve the worst case.

        Args:
            session: The caller's transaction.
            at_step: The run, and its attempts so far.
            order: Which step.
            number: Which attempt at it, from 1.

        Returns:
            What to ask.

        Raises:
            BudgetExceededError: What is left does not suffice.
            EntitlementRequiredError: Access has ended meanwhile.
            InvalidInputError: The newest message is longer than the model can read.
        """
        run, _, attempts = at_step
        await settle_lost(session, self._means, attempts)
        earlier = [record for record in attempts if record.step == order.step]
        failure_count = sum(record.outcome not in _NO_FAILURES for record in earlier)
        prompt = await read_prompt(session, run)
        call = Call(
            step=order.step,
            attempt=number,
            model=route(self._names, prompt.spec.difficulty, failure_count),
            prompt_tokens=prompt.token_count,
            wanted_tokens=prompt.spec.max_answer_tokens,
        )
        reservation = await self._means.reserve(session, run, call)
        facts = {"step": order.step, "attempt": number, "model": call.model}
        note = RunEventNote(kind=RunEventKind.STEP, data=facts)
        await RunEventRepository(session).append(run.agent_run_id, [note])
        request = _request(call.model, prompt, reservation)
        place = (order, number, bool(earlier), run.conversation_id)
        return Attempt(*place, prompt, request, reservation)

    async def write_off(self, attempt: Attempt, progress: Progress, outcome: str) -> None:
        """Pay for an attempt that brought nothing.

        A model that has begun to answer has read the prompt; whoever was cut off may have.

        Args:
            attempt: Which.
            progress: How far it came.
            outcome: `canceled`, or the error's code.
        """
        used, is_guessed = TokenUsage(), False
        if progress.usage is not None:
            used = progress.usage
        elif progress.has_begun or outcome == CANCELED:
            used, is_guessed = _estimate(attempt, progress), True
        async with self._sessions.begin() as session:
            await self._settle(session, attempt, used, outcome, is_estimated=is_guessed)

    async def pay(
        self,
        session: AsyncSession,
        attempt: Attempt,
        reply: ModelReply,
        progress: Progress,
    ) -> None:
        """Pay for an answer, within the caller's transaction.

        Attempts that broke off before it asked the same, so they read just as much.
        """
        used = reply.usage or _estimate(attempt, progress)
        is_guessed = reply.usage is None
        await self._settle(session, attempt, used, SUCCEEDED, is_estimated=is_guessed)
        if attempt.has_earlier and not is_guessed:
            await _mend_earlier(session, self._means, attempt, used)

    async def _settle(
        self,
        session: AsyncSession,
        attempt: Attempt,
        used: TokenUsage,
        outcome: str,
        *,
        is_estimated: bool,
    ) -> None:
        key, model = attempt.source_key, attempt.request.model
        await self._means.settle(
            session, key, model, used, outcome=outcome, is_estimated=is_estimated
        )


async def _mend_earlier(
    session: AsyncSession,
    means: AgentMeans,
    attempt: Attempt,
    used: TokenUsage,
) -> None:
    order = attempt.order
    for earlier in await UsageRepository(session).of_step(order.agent_run_id, order.step):
        if earlier.source_key == attempt.source_key or not earlier.is_estimated:
            continue
        await means.settle(
            session,
            earlier.source_key,
            earlier.model or "",
            TokenUsage(
                prompt_tokens=used.prompt_tokens,
                completion_tokens=earlier.completion_token_count,
            ),
            outcome=earlier.outcome or LOST,
            is_estimated=True,
        )


def _request(model: str, prompt: Prompt, reservation: Reservation) -> ModelRequest:
    return ModelRequest(
        model=model,
        messages=prompt.messages,
        tools=prompt.tools,
        max_tokens=reservation.max_tokens,
    )


def _estimate(attempt: Attempt, progress: Progress) -> TokenUsage:
    return TokenUsage(
        prompt_tokens=attempt.prompt.token_count,
        completion_tokens=min(progress.token_count, attempt.reservation.max_tokens),
    )
