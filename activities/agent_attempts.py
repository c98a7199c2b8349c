"""Attempts at a step: reserved at their worst case, and paid for whatever becomes of them."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.agent_context import Prompt, read_prompt
from activities.agent_means import AgentMeans, Call, source_key
from activities.agent_settlement import LOST, settle_lost
from activities.model_windows import Windows
from activities.step_failures import CIRCUIT_OPEN, TOO_LONG, failure_of
from adapters.llm.port import Progress
from agents.registry import find_agent
from database.agent_runs import RunAtStep
from database.run_events import RunEventRepository
from database.session import Sessions
from domain.agent_runs import StepOrder
from domain.budgets import Reservation
from domain.errors import ApplicationError, ProviderUnavailableError, UnavailableError
from domain.llm import ModelRequest, TokenUsage
from domain.routing import RATE_LIMITED, ModelNames, route
from domain.run_events import RunEventKind, RunEventNote

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Attempts that say nothing against the model; a prompt that was too long is sent shorter.
_NO_FAILURES = frozenset({SUCCEEDED, CANCELED, LOST, RATE_LIMITED, TOO_LONG, UnavailableError.code})
# What an attempt ended with that is no reason for a failure of the run.
_NO_CAUSES = _NO_FAILURES | {CIRCUIT_OPEN}


class Attempt(NamedTuple):
    """An attempt whose worst case is reserved.

    Args:
        order: Which step it is made at.
        number: Which one at the step, from 1.
        outcomes: How the earlier ones at the step ended, oldest first.
        conversation_id: Where its answer belongs.
        prompt: What the model gets to read.
        request: What is asked of it.
        reservation: What it may cost.
    """

    order: StepOrder
    number: int
    outcomes: tuple[str, ...]
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
        self._windows = Windows()

    async def begin(
        self,
        session: AsyncSession,
        at_step: RunAtStep,
        order: StepOrder,
    ) -> Attempt:
        """Read the prompt, choose the model, and reserve the worst case.

        Args:
            session: The caller's transaction.
            at_step: The run, and its attempts so far.
            order: Which step.

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
        outcomes = tuple(record.outcome or LOST for record in earlier)
        spec = find_agent(run.agent)
        failure_count = sum(outcome not in _NO_FAILURES for outcome in outcomes)
        model = route(self._names, spec.difficulty, failure_count)
        room = self._windows.room(model, spec)
        prompt = await read_prompt(session, run, room.prompt_tokens)
        call = Call(
            step=order.step,
            # Reason: Temporal counts anew after a reset, and no record is written over.
            attempt=max((record.attempt or 0 for record in earlier), default=0) + 1,
            model=model,
            prompt_tokens=prompt.token_count,
            wanted_tokens=room.answer_tokens,
        )
        reservation = await self._means.reserve(session, run, call)
        facts = {"step": order.step, "attempt": call.attempt, "model": model}
        note = RunEventNote(kind=RunEventKind.STEP, data=facts)
        await RunEventRepository(session).append(run.agent_run_id, [note])
        request = _request(model, prompt, reservation)
        place = (order, call.attempt, outcomes, run.conversation_id)
        return Attempt(*place, prompt, request, reservation)

    async def write_off(self, attempt: Attempt, progress: Progress, outcome: str) -> None:
        """Pay for an attempt that brought nothing.

        Args:
            attempt: Which.
            progress: How far it came.
            outcome: `canceled`, or the error's code.
        """
        used, is_guessed = booked(attempt, progress)
        async with self._sessions.begin() as session:
            await self._settle(session, attempt, used, outcome, is_estimated=is_guessed)

    def failure_of(self, attempt: Attempt, error: ApplicationError) -> ApplicationError:
        """Return what a step fails with: tried again if that can help, and with its first cause.

        Args:
            attempt: Which failed.
            error: What it failed with.
        """
        model = attempt.request.model
        if error.error_code == TOO_LONG:
            sent = attempt.prompt.token_count + attempt.request.max_tokens
            if self._windows.learn(model, error.details, sent):
                error = ProviderUnavailableError(error.message, TOO_LONG, error.details)
        causes = [outcome for outcome in attempt.outcomes if outcome not in _NO_CAUSES]
        return failure_of(error, attempt.outcomes, causes)

    async def pay(
        self,
        session: AsyncSession,
        attempt: Attempt,
        progress: Progress,
    ) -> None:
        """Pay for an answer, within the caller's transaction."""
        used, is_guessed = booked(attempt, progress)
        await self._settle(session, attempt, used, SUCCEEDED, is_estimated=is_guessed)

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


def _request(model: str, prompt: Prompt, reservation: Reservation) -> ModelRequest:
    return ModelRequest(
        model=model,
        messages=prompt.messages,
        tools=prompt.tools,
        max_tokens=reservation.max_tokens,
    )


def booked(attempt: Attempt, progress: Progress) -> tuple[TokenUsage, bool]:
    """Return what an attempt is booked at, never less than what it used.

    Args:
        attempt: Which.
        progress: How far it came.

    Returns:
        The usage, and whether it is estimated: at what was seen of the answer, and at the whole
        reservation where nothing was seen of what may have been written.
    """
    reported = progress.usage or TokenUsage()
    # Reason: some servers report nothing but zeros.
    if progress.is_final and (reported.completion_tokens or not progress.text):
        return reported, False
    if not progress.was_sent:
        return TokenUsage(), False
    limit = attempt.reservation.max_tokens
    seen = progress.reckoned_tokens if progress.text else limit
    # Reason: a limit that a server does not keep is no limit of its bill.
    if progress.token_count <= limit:
        seen = min(seen, limit)
    return reported.model_copy(
        update={
            "prompt_tokens": reported.prompt_tokens or attempt.prompt.token_count,
            "completion_tokens": max(reported.completion_tokens, seen),
        }
    ), True
