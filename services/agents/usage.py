"""How much of the means each call takes: one decision at a time per user.

A user's row is locked while it is decided, so that calls side by side cannot spend the same rest.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.llm.pricing import Prices
from database.agents.models import AgentRun, UsageRecord
from database.agents.run_events import RunEventRepository
from database.agents.usage_records import MODEL_CALL, RESERVED, UsageRepository
from domain.agents.budgets import Allowance, Price, Reservation, remaining, reserve, stricter
from domain.base import Frozen
from domain.ids import agent_run_workflow_id
from domain.llm.messages import TokenUsage
from domain.llm.token_estimates import worst_case
from domain.subscriptions.lifecycle import Access
from services.agents.admission import no_access, place_of
from services.subscriptions.entitlements import user_entitlements


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


class UsageMeter:
    """Reservation and settlement."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

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
        standing = await user_entitlements(session, run.user_id, datetime.now(UTC), locks_user=True)
        if standing.entitlements.access is Access.NONE:
            raise no_access()
        budget = Allowance(
            token_count=run.budget_token_count,
            cost_cents=None if run.budget_cost_cents is None else Decimal(run.budget_cost_cents),
        )
        limits, periods = standing.entitlements.limits, dict(standing.periods)
        if run.subscription_id is not None and run.period_start is not None:
            # Reason: it is booked on the period that it was admitted in, also once that is over.
            periods[run.subscription_id] = run.period_start
        by_run, in_periods = await usage.held(run.agent_run_id, sorted(periods.items()))
        means = stricter(remaining(budget, by_run), remaining(_means(limits), in_periods))
        reservation = reserve(means, self.price(call), call.prompt_tokens, call.wanted_tokens)
        values = place_of(run) | {
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
        source_key: str,
        model: str,
        used: TokenUsage,
        *,
        outcome: str,
        is_estimated: bool = False,
    ) -> None:
        """Write down what an attempt really used, within the caller's transaction.

        Args:
            session: The caller's transaction.
            source_key: The attempt's.
            model: Which was asked.
            used: As the provider reported it, or as it can be guessed.
            outcome: `succeeded`, `canceled`, `lost`, or the code of the error.
            is_estimated: Nobody reported it.
        """
        cost = self._prices.cost(model, used)
        values = {
            "prompt_token_count": used.prompt_tokens,
            "completion_token_count": used.completion_tokens,
            "cached_prompt_token_count": used.cached_prompt_tokens,
            "cache_write_token_count": used.cache_write_tokens,
            "reasoning_token_count": used.reasoning_tokens,
            "cost_cents": cost.cents,
            "outcome": outcome,
            "is_priced": cost.is_priced,
            "is_estimated": is_estimated,
        }
        await UsageRepository(session).settle(source_key, values)

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


def source_key(agent_run_id: UUID, step: int, attempt: int) -> str:
    """Return what makes an attempt's record unique."""
    return f"{agent_run_workflow_id(agent_run_id)}:{step}:{attempt}"


def _means(limits: dict[str, int]) -> Allowance:
    cents = limits.get("cost_cents")
    return Allowance(
        token_count=limits.get("token_count"),
        cost_cents=None if cents is None else Decimal(cents),
    )


LOST = "lost"


async def settle_lost(
    session: AsyncSession,
    means: UsageMeter,
    records: Iterable[UsageRecord],
) -> None:
    """Settle those attempts that are open by what their stream has told, within the transaction.

    Args:
        session: The caller's transaction.
        means: Knows the prices.
        records: ModelAttempts of a run; none of them is under way any more.
    """
    for record in records:
        if record.usage_status == RESERVED:
            await means.settle(
                session,
                record.source_key,
                record.model or "",
                await _estimate(session, record),
                outcome=LOST,
                is_estimated=True,
            )


async def _estimate(session: AsyncSession, record: UsageRecord) -> TokenUsage:
    """Guess from above: what came after the last that was told, nobody knows."""
    told = await RunEventRepository(session).told_text(
        record.agent_run_id,
        record.step or 0,
        record.attempt or 0,
    )
    return TokenUsage(
        prompt_tokens=record.reserved_prompt_token_count,
        completion_tokens=max(worst_case(told), record.reserved_completion_token_count),
    )
