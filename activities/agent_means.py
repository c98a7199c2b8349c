"""Who may run agents, and how much of the means each call takes: one decision at a time per user.

A user's row is locked while it is decided, so that calls side by side cannot spend the same rest.
"""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.entitlements import Standing, standing_of
from adapters.llm.prices import Prices
from database.agent_models import AgentRun, UsageRecord
from database.session import Sessions
from database.usage_records import (
    AGENT_RUN,
    MODEL_CALL,
    RESERVED,
    SETTLED,
    UsageRepository,
)
from domain.agent_runs import RunRequest, UsageTotal
from domain.budgets import Means, Price, Reservation, left, reserve, tighter
from domain.entitlements import Entitlements
from domain.errors import EntitlementRequiredError, LimitReachedError
from domain.ids import agent_run_workflow_id
from domain.llm import TokenUsage
from domain.messages import Frozen
from domain.subscriptions import Access

_LIMITS = ("agent_run_count", "token_count", "cost_cents")


class Call(Frozen):
    """One attempt at a call of a model.

    Args:
        step: Of the run.
        attempt: Of the step, from 1.
        model: Which is asked.
        prompt_tokens: At the most.
        wanted_tokens: What it would be allowed to write.
    """

    step: int
    attempt: int
    model: str
    prompt_tokens: int
    wanted_tokens: int


class AgentMeans:
    """Admission, reservation and settlement."""

    def __init__(self, sessions: Sessions, prices: Prices) -> None:
        self._sessions = sessions
        self._prices = prices

    async def admit(self, session: AsyncSession, request: RunRequest) -> Standing:
        """Let a run in, within the caller's transaction.

        Args:
            session: The caller's transaction.
            request: What is to run, and for whom.

        Returns:
            On what it is booked.

        Raises:
            EntitlementRequiredError: No subscription gives access.
            LimitReachedError: The plans' limits are used up.
        """
        usage = UsageRepository(session)
        await usage.lock_means(request.user_id)
        standing = await standing_of(session, request.user_id, datetime.now(UTC))
        held = await usage.held_in(standing.periods)
        used = await usage.used_in(standing.periods)
        refuse(standing.entitlements, used, held)
        return standing

    async def book_run(self, session: AsyncSession, run: AgentRun) -> None:
        """Count an admitted run, within the caller's transaction; doing it twice is once."""
        values = _place(run) | {
            "usage_kind": AGENT_RUN,
            "usage_status": SETTLED,
            "source_key": f"{agent_run_workflow_id(run.agent_run_id)}:run",
            "settled_at": datetime.now(UTC),
        }
        await UsageRepository(session).add(values)

    async def reserve(self, session: AsyncSession, run: AgentRun, call: Call) -> Reservation:
        """Reserve one attempt at its worst case, within the caller's transaction.

        Args:
            session: The caller's transaction.
            run: Whose budget, and whose user's limits, have to suffice.
            call: What is to be asked.

        Returns:
            What the model may write, and what it costs at the most.

        Raises:
            BudgetExceededError: The means do not suffice.
            EntitlementRequiredError: Access has ended meanwhile.
        """
        usage = UsageRepository(session)
        await usage.lock_means(run.user_id)
        standing = await standing_of(session, run.user_id, datetime.now(UTC))
        if standing.entitlements.access is Access.NONE:
            raise _no_access()
        budget = Means(
            token_count=run.budget_token_count,
            cost_cents=None if run.budget_cost_cents is None else Decimal(run.budget_cost_cents),
        )
        limits, periods = standing.entitlements.limits, set(standing.periods)
        if run.subscription_id is not None and run.period_start is not None:
            periods.add((run.subscription_id, run.period_start))
        means = tighter(
            left(budget, await usage.held_by_run(run.agent_run_id)),
            left(_means(limits), await usage.held_in(sorted(periods))),
        )
        reservation = reserve(means, self.price(call), call.prompt_tokens, call.wanted_tokens)
        values = _place(run) | {
            "usage_kind": MODEL_CALL,
            "usage_status": RESERVED,
            "source_key": source_key(run.agent_run_id, call.step, call.attempt),
            "step": call.step,
            "attempt": call.attempt,
            "model": call.model,
            "reserved_prompt_token_count": call.prompt_tokens,
            "reserved_completion_token_count": reservation.max_tokens,
            "reserved_cost_cents": reservation.cost_cents,
        }
        await usage.add(values)
        return reservation

    async def settle(
        self,
        session: AsyncSession,
        record: UsageRecord,
        used: TokenUsage,
        *,
        outcome: str,
        is_estimated: bool = False,
    ) -> Decimal:
        """Write down what an attempt really used, within the caller's transaction.

        Args:
            session: The caller's transaction.
            record: The attempt.
            used: As the provider reported it, or as it can be guessed.
            outcome: `succeeded`, `canceled`, `lost`, or the code of the error.
            is_estimated: Nobody reported it.

        Returns:
            What it cost, in cents.
        """
        cost = self._prices.cost(record.model or "", used)
        values = {
            "prompt_token_count": used.prompt_tokens,
            "completion_token_count": used.completion_tokens,
            "cost_cents": cost.cents,
            "outcome": outcome,
            "is_priced": cost.is_priced,
            "is_estimated": is_estimated,
        }
        await UsageRepository(session).settle(record.source_key, values)
        return cost.cents

    def price(self, call: Call) -> Price:
        """Return what one token of a call costs; prices can depend on the prompt's length."""
        prompt = self._prices.cost(call.model, TokenUsage(prompt_tokens=call.prompt_tokens))
        whole = self._prices.cost(
            call.model,
            TokenUsage(prompt_tokens=call.prompt_tokens, completion_tokens=call.wanted_tokens),
        )
        return Price(
            prompt_cents=prompt.cents / max(1, call.prompt_tokens),
            completion_cents=(whole.cents - prompt.cents) / call.wanted_tokens,
            is_known=whole.is_priced,
        )


def refuse(entitlements: Entitlements, used: UsageTotal, held: Means) -> None:
    """Refuse a run that nothing entitles to, or whose means are used up already.

    Raises:
        EntitlementRequiredError: No subscription gives access.
        LimitReachedError: A limit is used up.
    """
    if entitlements.access is Access.NONE:
        raise _no_access()
    taken = {
        "agent_run_count": used.agent_run_count,
        "token_count": held.token_count or 0,
        "cost_cents": held.cost_cents or 0,
    }
    for name in _LIMITS:
        limit = entitlements.limits.get(name)
        if limit is not None and taken[name] >= limit:
            resets_at = entitlements.resets_at
            raise LimitReachedError(
                f"the plan's limit of {limit} ({name}) is used up in this period",
                details={
                    "limit": name,
                    "limit_value": limit,
                    "resets_at": resets_at.isoformat() if resets_at else None,
                },
            )


def source_key(agent_run_id: UUID, step: int, attempt: int) -> str:
    """Return what makes an attempt's record unique."""
    return f"{agent_run_workflow_id(agent_run_id)}:{step}:{attempt}"


def _means(limits: dict[str, int]) -> Means:
    cents = limits.get("cost_cents")
    return Means(
        token_count=limits.get("token_count"),
        cost_cents=None if cents is None else Decimal(cents),
    )


def _place(run: AgentRun) -> dict[str, object]:
    return {
        "user_id": run.user_id,
        "agent_run_id": run.agent_run_id,
        "subscription_id": run.subscription_id,
        "period_start": run.period_start,
    }


def _no_access() -> EntitlementRequiredError:
    return EntitlementRequiredError(
        "no subscription of yours gives access",
        details={"do": "POST /api/v1/subscriptions"},
    )
