"""Reserves each model call at its worst case, and settles it however the call ends."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.llm.provider import Progress
from agents.registry import find_agent
from database.agents.agent_runs import RunAtStep
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.session import Sessions
from domain.agents.budgets import NOTHING_RESERVED, Reservation
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import OnBudget, RunStatus, StepInput
from domain.errors import ApplicationError, ProviderUnavailableError, UnavailableError
from domain.llm.answer_cache import cache_key
from domain.llm.messages import ModelRequest, TokenUsage
from domain.llm.routing import RATE_LIMITED, ModelNames, Target, route
from services.agents.model_calls.failures import CIRCUIT_OPEN, TOO_LONG, failure_of
from services.agents.model_calls.rate_limiter import RateLimiter
from services.agents.model_calls.windows import ContextWindows
from services.agents.prompts import Prompt, read_prompt
from services.agents.run_records import change_status
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import (
    CACHED,
    LOST,
    Call,
    UsageMeter,
    settle_open_attempts,
    source_key,
)

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Outcomes that do not speak against the model; a prompt that was too long is sent shorter.
_NO_FAILURES = frozenset(
    {SUCCEEDED, CACHED, CANCELED, LOST, RATE_LIMITED, TOO_LONG, UnavailableError.code}
)
# Outcomes that are not reported as the cause of a run's failure.
_NO_CAUSES = _NO_FAILURES | {CIRCUIT_OPEN}


class Attempt(NamedTuple):
    """An attempt at a model call whose worst case is reserved.

    Args:
        step_input: The step that the attempt belongs to.
        number: Number of the attempt within the step, from 1.
        outcomes: How the earlier attempts at the step ended, oldest first.
        conversation_id: Conversation that gets the answer.
        prompt: What the model reads.
        request: Request to the model.
        reservation: The most that the attempt may cost; nothing until it has begun.
        cache_key: Key of the request in the cache; None if the agent has no cache.
        is_cached: Whether the answer comes from the cache, and costs nothing.
    """

    step_input: StepInput
    number: int
    outcomes: tuple[str, ...]
    conversation_id: UUID
    prompt: Prompt
    request: ModelRequest
    reservation: Reservation = NOTHING_RESERVED
    cache_key: str | None = None
    is_cached: bool = False

    @property
    def source_key(self) -> str:
        """The unique key of the attempt's usage record."""
        return source_key(self.step_input.agent_run_id, self.step_input.step, self.number)


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
        self._names = names
        self._meter = meter
        self._catalog = catalog
        self._is_shut = is_shut
        self._limiter = limiter or RateLimiter({})
        self._windows = ContextWindows()

    async def plan(
        self,
        session: AsyncSession,
        at_step: RunAtStep,
        step_input: StepInput,
    ) -> Attempt:
        """Read the prompt and choose the model; nothing is reserved yet.

        Args:
            session: The caller's transaction.
            at_step: The run, and its attempts so far.
            step_input: The step to make an attempt at.

        Returns:
            The attempt, whose request allows the longest answer.

        Raises:
            InvalidInputError: The newest message is longer than the model can read.
        """
        run, _, attempts = at_step
        await settle_open_attempts(session, self._meter, attempts)
        earlier = [record for record in attempts if record.step == step_input.step]
        outcomes = tuple(record.outcome or LOST for record in earlier)
        spec = find_agent(run.agent)
        failure_count = sum(outcome not in _NO_FAILURES for outcome in outcomes)
        target = route(self._names, spec.difficulty, failure_count, self._is_shut)
        token_limits = self._windows.token_limits(target.label, spec)
        prompt = await read_prompt(session, run, token_limits.prompt_tokens, self._catalog)
        request = _request(target, prompt, token_limits.answer_tokens)
        key = None if spec.cache is None else cache_key(run.agent, run.prompt_version, request)
        return Attempt(
            step_input,
            # Reason: Temporal counts attempts anew after a reset; no record may be overwritten.
            max((record.attempt or 0 for record in earlier), default=0) + 1,
            outcomes,
            run.conversation_id,
            prompt,
            request,
            cache_key=key,
        )

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
        reservation = await self._reserve(session, run, _call_of(planned))
        await _tell_step(session, run, planned)
        request = planned.request.model_copy(update={"max_tokens": reservation.max_tokens})
        return planned._replace(request=request, reservation=reservation)

    async def _reserve(self, session: AsyncSession, run: AgentRun, call: Call) -> Reservation:
        """Reserve the worst case of a call, once our own limit of calls per minute allows it."""
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
        model = _target_of(attempt.request).label
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
            await self._meter.book_cached(session, run, _call_of(attempt))
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
        key, target = attempt.source_key, _target_of(attempt.request)
        unused = attempt.reservation.token_count - used.prompt_tokens - used.completion_tokens
        self._limiter.give_back(target.slot, unused)
        await self._meter.settle(
            session, key, target, used, outcome=outcome, is_estimated=is_estimated
        )


def _target_of(request: ModelRequest) -> Target:
    return Target(model=request.model, slot=request.slot)


def _call_of(planned: Attempt) -> Call:
    return Call(
        step=planned.step_input.step,
        attempt=planned.number,
        target=_target_of(planned.request),
        prompt_tokens=planned.prompt.token_count,
        requested_tokens=planned.request.max_tokens,
        may_be_cut=planned.step_input.on_budget is OnBudget.END,
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
    note = NewRunEvent(kind=RunEventKind.STEP, data=facts)
    await RunEventRepository(session).append(run.agent_run_id, [note])


def _request(target: Target, prompt: Prompt, max_tokens: int) -> ModelRequest:
    return ModelRequest(
        model=target.model,
        slot=target.slot,
        messages=prompt.messages,
        tools=tuple(tool.spec.definition for tool in prompt.tools),
        max_tokens=max_tokens,
        output_schema=prompt.spec.output_schema,
    )


def booked_usage(attempt: Attempt, progress: Progress) -> tuple[TokenUsage, bool]:
    """Return the usage that an attempt is booked at, never less than what it used.

    Args:
        attempt: The attempt.
        progress: What was received of the answer.

    Returns:
        The usage, and whether it is estimated: from the text received, or the whole reservation
        if no text was received although some may have been written.
    """
    reported = progress.usage or TokenUsage()
    # Reason: some model servers report only zeros.
    if progress.is_final and (reported.completion_tokens or not progress.text):
        return reported, False
    if not progress.was_sent:
        return TokenUsage(), False
    limit = attempt.reservation.max_tokens
    completion_tokens = progress.estimated_tokens if progress.text else limit
    # Reason: a server that exceeds the token limit also bills more than the limit.
    if progress.token_count <= limit:
        completion_tokens = min(completion_tokens, limit)
    return reported.model_copy(
        update={
            "prompt_tokens": reported.prompt_tokens or attempt.prompt.token_count,
            "completion_tokens": max(reported.completion_tokens, completion_tokens),
        }
    ), True
