"""Reserves each model call at its worst case, and settles it however the call ends."""

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.llm.provider import Progress
from database.agents.agent_runs import RunAtStep
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.session import Sessions
from domain.agents.budgets import Reservation
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import RunStatus, StepInput
from domain.errors import ApplicationError, ProviderUnavailableError
from domain.llm.messages import TokenUsage
from domain.llm.routing import ModelNames, Target
from services.agents.model_calls.attempt import Attempt, booked_usage
from services.agents.model_calls.batch_attempts import resume_batch
from services.agents.model_calls.failures import CIRCUIT_OPEN, TOO_LONG, failure_of
from services.agents.model_calls.planning import NO_FAILURES, SUCCEEDED, AttemptPlanner
from services.agents.model_calls.rate_limiter import RateLimiter
from services.agents.model_calls.windows import ContextWindows
from services.agents.run_records import change_status
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import Call, UsageMeter, settle_open_attempts

# Outcomes that are not reported as the cause of a run's failure.
_NO_CAUSES = NO_FAILURES | {CIRCUIT_OPEN}


class ModelAttempts:
    """Begins, settles and fails attempts at model calls."""

    def __init__(
        self,
        sessions: Sessions,
        names: ModelNames,
        meter: UsageMeter,
        catalog: ToolCatalog,
        is_shut: Callable[[Target], bool] = lambda _: False,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._sessions = sessions
        self._meter = meter
        self._limiter = limiter or RateLimiter({})
        self._windows = ContextWindows()
        self._planner = AttemptPlanner(names, catalog, is_shut, self._windows)

    async def resume(
        self, session: AsyncSession, at_step: RunAtStep, step_input: StepInput
    ) -> Attempt | None:
        """Return the attempt of a step whose batch is not settled yet; None if there is none."""
        return await resume_batch(session, at_step, step_input, self._planner.catalog)

    async def plan(
        self, session: AsyncSession, at_step: RunAtStep, step_input: StepInput
    ) -> Attempt:
        """Settle earlier attempts, read the prompt and choose the model; nothing is reserved yet.

        Args:
            session: The caller's transaction.
            at_step: The run, and its attempts so far.
            step_input: The step to make an attempt at.

        Returns:
            The attempt, whose request allows the longest answer.

        Raises:
            InvalidInputError: The newest message is longer than the model can read.
        """
        await settle_open_attempts(session, self._meter, at_step.attempts)
        return await self._planner.plan(session, at_step, step_input)

    async def begin(self, session: AsyncSession, run: AgentRun, planned: Attempt) -> Attempt:
        """Reserve the worst case of a planned attempt.

        Args:
            session: The caller's transaction.
            run: The run that pays.
            planned: The attempt.

        Returns:
            The attempt, ready to be sent.

        Raises:
            BudgetExceededError: The rest of the budget does not suffice.
            EntitlementRequiredError: The user's access has ended since the run began.
            ProviderUnavailableError: The call waits for our own limit of calls per minute.
        """
        reservation = await self._reserve(session, run, planned.call)
        await _tell_step(session, run, planned)
        request = planned.request.model_copy(update={"max_tokens": reservation.max_tokens})
        return planned._replace(request=request, reservation=reservation)

    async def _reserve(self, session: AsyncSession, run: AgentRun, call: Call) -> Reservation:
        """Reserve the worst case of a call, once our own limit of calls per minute allows it."""
        if call.batch is not None:  # providers count batches apart
            return await self._meter.reserve(session, run, call)
        slot, count = call.target.slot, call.prompt_tokens + call.requested_tokens
        self._limiter.admit(slot, run.user_id, f"{run.agent_run_id}:{call.step}", count)
        try:
            return await self._meter.reserve(session, run, call)
        except BaseException:
            self._limiter.give_back(slot, count)
            raise

    async def settle_failure(self, attempt: Attempt, progress: Progress, outcome: str) -> None:
        """Settle an attempt that brought no answer.

        Args:
            attempt: Attempt to settle.
            progress: What was received before it ended.
            outcome: `canceled`, or the error's code.
        """
        used, is_guessed = booked_usage(attempt, progress)
        async with self._sessions.begin() as session:
            await self._settle(session, attempt, used, outcome, is_estimated=is_guessed)

    def failure_of(self, attempt: Attempt, error: ApplicationError) -> ApplicationError:
        """Return the error that a step fails with: retryable if that helps, with the first cause.

        Args:
            attempt: The failed attempt.
            error: The error of the attempt.
        """
        model = attempt.target.label
        if error.error_code == TOO_LONG:
            sent = attempt.prompt.token_count + attempt.request.max_tokens
            if self._windows.learn(model, error.details, sent):
                error = ProviderUnavailableError(error.message, TOO_LONG, error.details)
        causes = [outcome for outcome in attempt.outcomes if outcome not in _NO_CAUSES]
        return failure_of(error, attempt.outcomes, causes)

    async def pay(
        self,
        session: AsyncSession,
        run: AgentRun,
        attempt: Attempt,
        progress: Progress,
        outcome: str = SUCCEEDED,
    ) -> None:
        """Settle an attempt that brought an answer, within the caller's transaction."""
        if attempt.is_cached:
            await _tell_step(session, run, attempt)
            await self._meter.book_cached(session, run, attempt.call)
            return
        used, is_guessed = booked_usage(attempt, progress)
        await self._settle(session, attempt, used, outcome, is_estimated=is_guessed)

    async def _settle(
        self,
        session: AsyncSession,
        attempt: Attempt,
        used: TokenUsage,
        outcome: str,
        *,
        is_estimated: bool,
    ) -> None:
        key, target = attempt.source_key, attempt.target
        unused = attempt.reservation.token_count - used.prompt_tokens - used.completion_tokens
        if attempt.batch is None:
            self._limiter.give_back(target.slot, unused)
        await self._meter.settle(
            session,
            key,
            target,
            used,
            outcome=outcome,
            is_estimated=is_estimated,
            is_batch=attempt.batch is not None,
        )


async def _tell_step(session: AsyncSession, run: AgentRun, attempt: Attempt) -> None:
    """Tell on the run's stream that a model answers, and that the run waits no longer."""
    if run.run_status == RunStatus.WAITING_BUDGET:
        await change_status(session, run, RunStatus.RUNNING)
    facts: dict[str, object] = {
        "step": attempt.step_input.step,
        "attempt": attempt.number,
        "model": attempt.request.model,
    }
    if attempt.is_cached:
        facts["is_cached"] = True
    elif attempt.batch is not None:
        facts["is_batch"] = True
    note = NewRunEvent(kind=RunEventKind.STEP, data=facts)
    await RunEventRepository(session).append(run.agent_run_id, [note])
