"""Attempts at a step: reserved at their worst case, and paid for whatever becomes of them."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from activities.agent_context import Prompt, read_prompt
from activities.agent_means import AgentMeans, Call, source_key
from activities.agent_settlement import LOST, settle_lost
from adapters.llm.port import Progress
from database.agent_runs import AgentRunRepository
from database.run_events import RunEventRepository
from database.session import Sessions
from database.usage_records import UsageRepository
from domain.agent_runs import StepOrder
from domain.budgets import Reservation
from domain.errors import NotFoundError, UnavailableError
from domain.llm import ModelReply, ModelRequest, TokenUsage
from domain.routing import RATE_LIMITED, ModelNames, route
from domain.run_events import RunEventKind, RunEventNote

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Attempts that say nothing against the model.
_NO_FAILURES = frozenset({SUCCEEDED, CANCELED, LOST, RATE_LIMITED, UnavailableError.code, None})


class Attempt(NamedTuple):
    """An attempt whose worst case is reserved."""

    order: StepOrder
    number: int
    prompt: Prompt
    request: ModelRequest
    reservation: Reservation


class Attempts:
    """The attempts' book."""

    def __init__(self, sessions: Sessions, names: ModelNames, means: AgentMeans) -> None:
        self._sessions = sessions
        self._names = names
        self._means = means

    async def begin(self, session: AsyncSession, order: StepOrder, number: int) -> Attempt:
        """Read the prompt, choose the model, and reserve the worst case.

        Args:
            session: The caller's transaction.
            order: Which step.
            number: Which attempt at it, from 1.

        Returns:
            What to ask.

        Raises:
            BudgetExceededError: What is left does not suffice.
            EntitlementRequiredError: Access has ended meanwhile.
            InvalidInputError: The newest message is longer than the model can read.
        """
        run = await AgentRunRepository(session).get(order.agent_run_id, None)
        if run is None:
            raise NotFoundError("there is no such run")
        await settle_lost(session, self._means, run)
        prompt = await read_prompt(session, run)
        call = Call(
            step=order.step,
            attempt=number,
            model=route(self._names, prompt.spec.difficulty, await _failures(session, order)),
            prompt_tokens=prompt.token_count,
            wanted_tokens=prompt.spec.max_answer_tokens,
        )
        reservation = await self._means.reserve(session, run, call)
        facts = {"step": order.step, "attempt": number, "model": call.model}
        note = RunEventNote(kind=RunEventKind.STEP, data=facts)
        await RunEventRepository(session).append(run.agent_run_id, [note])
        request = ModelRequest(
            model=call.model,
            messages=prompt.messages,
            tools=prompt.tools,
            max_tokens=reservation.max_tokens,
        )
        return Attempt(order, number, prompt, request, reservation)

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
            order = attempt.order
            key = source_key(order.agent_run_id, order.step, attempt.number)
            record = await UsageRepository(session).get(key)
            await self._means.settle(
                session, record, used, outcome=outcome, is_estimated=is_guessed
            )

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
        order, is_guessed = attempt.order, reply.usage is None
        records = await UsageRepository(session).of_step(order.agent_run_id, order.step)
        (own,) = (record for record in records if record.attempt == attempt.number)
        await self._means.settle(session, own, used, outcome=SUCCEEDED, is_estimated=is_guessed)
        for earlier in records:
            if earlier is own or is_guessed or not earlier.is_estimated:
                continue
            mended = TokenUsage(
                prompt_tokens=used.prompt_tokens,
                completion_tokens=earlier.completion_token_count,
            )
            outcome = earlier.outcome or LOST
            await self._means.settle(session, earlier, mended, outcome=outcome, is_estimated=True)


async def _failures(session: AsyncSession, order: StepOrder) -> int:
    earlier = await UsageRepository(session).of_step(order.agent_run_id, order.step)
    return sum(record.outcome not in _NO_FAILURES for record in earlier)


def _estimate(attempt: Attempt, progress: Progress) -> TokenUsage:
    return TokenUsage(
        prompt_tokens=attempt.prompt.token_count,
        completion_tokens=min(progress.token_count, attempt.reservation.max_tokens),
    )
