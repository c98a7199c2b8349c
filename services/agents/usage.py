"""Reserve and settle tokens and cents per model call, one user's calls one after the other.

The user's row is locked during the decision, so that concurrent calls cannot spend the same rest.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.llm.pricing import FULL_PRICE, Prices
from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.usage.models import UsageRecord
from database.usage.sums import MODEL_CALL, RESERVED
from database.usage.usage_records import UsageRepository
from domain.agents.budgets import (
    NOTHING_RESERVED,
    Price,
    Reservation,
    remaining,
    reserve,
    stricter,
)
from domain.base import Frozen
from domain.ids import agent_run_workflow_id
from domain.llm.batches import PRICE_SHARE, BatchCall
from domain.llm.messages import ProviderSlot, TokenUsage
from domain.llm.routing import Target
from domain.llm.token_estimates import estimate_tokens
from domain.subscriptions.lifecycle import Access
from domain.usage.amounts import Allowance
from domain.usage.windows import allowance_left
from services.agents.admission import access_required_error, place_of
from services.subscriptions.entitlements import user_entitlements


class Call(Frozen):
    """One attempt at a model call.

    Args:
        step: Step of the run.
        attempt: Number of the attempt within the step, from 1.
        target: Model to call, and at which provider.
        prompt_tokens: Upper bound of the prompt's length.
        requested_tokens: Longest answer that the agent's spec allows.
        may_be_cut: Whether the answer may be shorter than that if the budget ends.
        batch: The call by the batch endpoint; None for a call that is streamed.
    """

    step: int
    attempt: int
    target: Target
    prompt_tokens: int
    requested_tokens: int
    may_be_cut: bool = True
    batch: BatchCall | None = None


class UsageMeter:
    """Reserves and settles the usage of model calls.

    Args:
        prices: Prices of the provider.
        fallback_prices: Prices of the provider that takes its place, if there is one.
    """

    def __init__(self, prices: Prices, fallback_prices: Prices | None = None) -> None:
        self._prices = {
            ProviderSlot.PRIMARY: prices,
            ProviderSlot.FALLBACK: fallback_prices or prices,
        }

    async def reserve(self, session: AsyncSession, run: AgentRun, call: Call) -> Reservation:
        """Reserve the worst case of one attempt, within the caller's transaction.

        Args:
            session: The caller's transaction.
            run: Run that pays; its budget and its user's limits must both suffice.
            call: Attempt to reserve.

        Returns:
            How many tokens the model may write, and the highest possible cost.

        Raises:
            BudgetExceededError: The run's budget or the user's limits do not suffice.
            EntitlementRequiredError: The user's access has ended since the run began.
        """
        at = datetime.now(UTC)
        current = await user_entitlements(session, run.user_id, at, locks_user=True)
        if current.entitlements.access is Access.NONE:
            raise access_required_error()
        periods = dict(current.periods)
        if run.subscription_id is not None and run.period_start is not None:
            # Reason: usage is booked on the period in which the run was admitted.
            periods[run.subscription_id] = run.period_start
        usage = UsageRepository(session)
        by_run, by_window = await usage.held(
            run.agent_run_id, run.user_id, sorted(periods.items()), at
        )
        left_of_limits = allowance_left(current.entitlements, by_window)
        allowance = stricter(remaining(_budget(run), by_run), left_of_limits)
        if run.root_run_id is not None or find_agent(run.agent).team is not None:
            allowance = stricter(allowance, await _left_of_tree(session, run))
        reservation = reserve(
            allowance,
            self.price(call),
            call.prompt_tokens,
            call.requested_tokens,
            may_cut=call.may_be_cut,
        )
        await usage.add(_reserved(run, call, reservation, at))
        return reservation

    async def book_cached(self, session: AsyncSession, run: AgentRun, call: Call) -> None:
        """Record an answer from the cache, within the caller's transaction: it costs nothing.

        Args:
            session: The caller's transaction.
            run: The run that got the answer.
            call: The attempt that would have been made.
        """
        free = call.model_copy(update={"prompt_tokens": 0, "batch": None})
        record = _reserved(run, free, NOTHING_RESERVED, datetime.now(UTC))
        await UsageRepository(session).add(record)
        key = source_key(run.agent_run_id, call.step, call.attempt)
        await self.settle(session, key, call.target, TokenUsage(), outcome=CACHED)

    async def settle(
        self,
        session: AsyncSession,
        source_key: str,
        target: Target,
        used: TokenUsage,
        *,
        outcome: str,
        is_estimated: bool = False,
        is_batch: bool = False,
    ) -> None:
        """Record the actual usage of an attempt, within the caller's transaction.

        Args:
            session: The caller's transaction.
            source_key: Unique key of the attempt's record.
            target: Model that was called.
            used: Usage as the provider reported it, or an estimate.
            outcome: `succeeded`, `cached`, `canceled`, `lost`, or the code of the error.
            is_estimated: The provider did not report the usage.
            is_batch: The call was made by the batch endpoint, at its price.
        """
        cost = self._prices[target.slot].cost(target.model, used)
        values = {
            "prompt_token_count": used.prompt_tokens,
            "completion_token_count": used.completion_tokens,
            "cached_prompt_token_count": used.cached_prompt_tokens,
            "cache_write_token_count": used.cache_write_tokens,
            "reasoning_token_count": used.reasoning_tokens,
            "cost_cents": cost.cents * PRICE_SHARE if is_batch else cost.cents,
            "outcome": outcome,
            "is_priced": cost.is_priced,
            "is_estimated": is_estimated,
        }
        await UsageRepository(session).settle(source_key, values)

    def price(self, call: Call) -> Price:
        """Return the price of one token of a call; prices can depend on the prompt's length."""
        prices, model = self._prices[call.target.slot], call.target.model
        prompt = prices.cost(model, TokenUsage(prompt_tokens=call.prompt_tokens))
        whole = prices.cost(
            model,
            TokenUsage(prompt_tokens=call.prompt_tokens, completion_tokens=call.requested_tokens),
        )
        share = FULL_PRICE if call.batch is None else PRICE_SHARE
        return Price(
            prompt_cents=share * prompt.cents / max(1, call.prompt_tokens),
            completion_cents=share * (whole.cents - prompt.cents) / call.requested_tokens,
            is_known=whole.is_priced,
        )


def _budget(run: AgentRun) -> Allowance:
    cents = run.budget_cost_cents
    return Allowance(
        token_count=run.budget_token_count,
        cost_cents=None if cents is None else Decimal(cents),
    )


async def _left_of_tree(session: AsyncSession, run: AgentRun) -> Allowance:
    """Return what a run and all runs above, below and beside it may still use together."""
    root_id = run.root_run_id or run.agent_run_id
    root = await session.get_one(AgentRun, root_id)
    runs = await AgentRunRepository(session).tree_ids(root_id)
    return remaining(_budget(root), await UsageRepository(session).held_by_runs(runs))


def _reserved(run: AgentRun, call: Call, reservation: Reservation, at: datetime) -> dict[str, Any]:
    """Return the columns of an attempt's record before the call."""
    batch: dict[str, Any] = {}
    if call.batch is not None:
        kept = call.batch.model_copy(update={"is_cut": reservation.is_cut})
        batch = {"batch_data": kept.model_dump(mode="json")}
    return (
        place_of(run)
        | batch
        | {
            "usage_kind": MODEL_CALL,
            "usage_status": RESERVED,
            "source_key": source_key(run.agent_run_id, call.step, call.attempt),
            "step": call.step,
            "attempt": call.attempt,
            "model": call.target.model,
            "provider_slot": call.target.slot,
            "reserved_prompt_token_count": call.prompt_tokens,
            "reserved_completion_token_count": reservation.max_tokens,
            "reserved_cost_cents": reservation.cost_cents,
            # Reason: the call counts in the hour and the day against which it was checked.
            "created_at": at,
        }
    )


def source_key(agent_run_id: UUID, step: int, attempt: int) -> str:
    """Return the unique key of an attempt's record."""
    return f"{agent_run_workflow_id(agent_run_id)}:{step}:{attempt}"


LOST = "lost"
CACHED = "cached"


async def settle_open_attempts(
    session: AsyncSession,
    meter: UsageMeter,
    records: Iterable[UsageRecord],
) -> None:
    """Settle open attempts at an estimate from the text they streamed, in the caller's transaction.

    Args:
        session: The caller's transaction.
        meter: Computes the cost.
        records: Records of a run's model calls; none of the calls is under way any more.
    """
    for record in records:
        if record.usage_status == RESERVED:
            await meter.settle(
                session,
                record.source_key,
                _target_of(record),
                await _estimate(session, record),
                outcome=LOST,
                is_estimated=True,
                is_batch=record.batch_data is not None,
            )


def _target_of(record: UsageRecord) -> Target:
    # Reason: records of earlier releases name no provider; there was only one.
    slot = ProviderSlot(record.provider_slot or ProviderSlot.PRIMARY)
    return Target(model=record.model or "", slot=slot)


async def _estimate(session: AsyncSession, record: UsageRecord) -> TokenUsage:
    """Estimate an upper bound of the usage; text that was not streamed yet cannot be counted."""
    text = await RunEventRepository(session).streamed_text(
        record.agent_run_id,
        record.step or 0,
        record.attempt or 0,
    )
    return TokenUsage(
        prompt_tokens=record.reserved_prompt_token_count,
        completion_tokens=max(estimate_tokens(text), record.reserved_completion_token_count),
    )
