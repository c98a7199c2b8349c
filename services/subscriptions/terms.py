"""Writes what a subscription costs into its row: plan, price, discount and the waiting change."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.plans.plans import PlanRepository
from database.subscriptions.models import Subscription
from domain.subscriptions.events import terms_event
from domain.subscriptions.messages import NewSubscriptionEvent
from domain.subscriptions.snapshots import SubscriptionSnapshot


async def follow_terms(
    session: AsyncSession, row: Subscription, snapshot: SubscriptionSnapshot
) -> list[NewSubscriptionEvent]:
    """Update plan, price, quantity, discount and the waiting change of a subscription's row.

    Args:
        session: Database session to read plans with.
        row: Row of the subscription.
        snapshot: The subscription as read from Stripe.

    Returns:
        The event of another plan, price or quantity; empty without one.
    """
    before = _terms(row)
    row.quantity = snapshot.quantity
    await _follow_plan(session, row, snapshot)
    discount = next(iter(snapshot.discounts), None)
    row.discount_data = (
        None
        if discount is None
        else discount.model_dump(mode="json", exclude={"stripe_discount_id"})
    )
    row.scheduled_change_data = await _scheduled_change(session, snapshot)
    after = _terms(row)
    return [] if before == after else [terms_event(before, after, row.last_event_seq)]


def _terms(row: Subscription) -> dict[str, Any]:
    return {
        "plan_id": str(row.plan_id) if row.plan_id else None,
        "stripe_price_id": row.stripe_price_id,
        "quantity": row.quantity,
    }


async def _follow_plan(
    session: AsyncSession, row: Subscription, snapshot: SubscriptionSnapshot
) -> None:
    """Update price and plan after a change at Stripe; all prices of a plan share its product."""
    if snapshot.stripe_price_id == row.stripe_price_id and row.plan_id is not None:
        return
    row.stripe_price_id = snapshot.stripe_price_id
    plans = PlanRepository(session)
    plan = await plans.of_price(snapshot.stripe_price_id, snapshot.stripe_product_id)
    # Reason: a price of no known plan is stored as it is, and the last plan stays.
    row.plan_id = plan.plan_id if plan else row.plan_id


async def _scheduled_change(
    session: AsyncSession, snapshot: SubscriptionSnapshot
) -> dict[str, object] | None:
    """Return the change that waits for the end of the period; None if there is none."""
    change = snapshot.scheduled_change
    if change is None:
        return None
    plans = PlanRepository(session)
    plan = await plans.of_price(change.stripe_price_id, change.stripe_product_id)
    return {
        "plan_id": str(plan.plan_id) if plan else None,
        "stripe_price_id": change.stripe_price_id,
        "quantity": change.quantity,
        "at": change.at.isoformat(),
    }
