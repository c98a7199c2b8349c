"""Computes what a customer's subscriptions entitle to, from their rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.plans.models import Plan
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.plans import Metric, metered_prices
from domain.subscriptions.entitlements import (
    Entitlements,
    SubscriptionEntitlement,
    combine_entitlements,
)
from domain.subscriptions.lifecycle import Access, SubscriptionStatus, access


class UserEntitlements(NamedTuple):
    """What a customer may use, and the periods in which the usage is counted.

    Args:
        entitlements: Entitlements of all subscriptions together.
        periods: Id and period start of each subscription with access.
        booking: The period on which new usage is booked: the one that ends first.
    """

    entitlements: Entitlements
    periods: tuple[tuple[UUID, datetime], ...]
    booking: tuple[UUID, datetime] | None


SubscribedPlan = tuple[Subscription, Plan]


async def user_entitlements(
    session: AsyncSession,
    user_id: UUID,
    at: datetime,
    *,
    locks_user: bool = False,
) -> UserEntitlements:
    """Return what a customer may use at a given time.

    Args:
        session: Database session to read with.
        user_id: Owner of the subscriptions.
        at: The time, on the clock by which grace ends.
        locks_user: Lock the user's allowance until the transaction ends.

    Returns:
        The entitlements, and the periods in which usage is counted.
    """
    repository = SubscriptionRepository(session)
    return entitlements_of(await repository.with_plans(user_id, locks_user=locks_user), at)


def entitlements_of(subscriptions: Sequence[SubscribedPlan], at: datetime) -> UserEntitlements:
    """Return what a customer's subscriptions entitle to at a given time.

    Args:
        subscriptions: The customer's subscriptions with their plans, newest first.
        at: The time, on the clock by which grace ends.

    Returns:
        The entitlements, and the periods in which usage is counted.
    """
    grants, periods = [], []
    for subscription, plan in subscriptions:
        grant = SubscriptionEntitlement(
            plan_id=plan.plan_id,
            access=access_of(subscription, at),
            features=plan.features_data,
            limits=plan.limits_data,
            overage_metrics=overage_metrics_of(subscription, plan),
            current_period_start=subscription.current_period_start,
            current_period_end=subscription.current_period_end,
        )
        grants.append(grant)
        begin, end = subscription.current_period_start, subscription.current_period_end
        if grant.access is not Access.NONE and begin is not None and end is not None:
            periods.append((end, subscription.subscription_id, begin))
    sorted_periods = tuple(
        (subscription_id, begin) for _, subscription_id, begin in sorted(periods)
    )
    return UserEntitlements(
        combine_entitlements(grants), sorted_periods, sorted_periods[0] if sorted_periods else None
    )


def overage_metrics_of(subscription: Subscription, plan: Plan) -> frozenset[Metric]:
    """Return the metrics whose usage beyond the limit is billed with a subscription.

    Reason: a subscription that is older than the plan's overage price has no metered item, and
    nobody would pay for what was not refused.
    """
    prices = metered_prices(plan.overage_data, plan.stripe_overage_data)
    return frozenset(
        metric
        for metric, price in prices.items()
        if price.stripe_meter_id in subscription.stripe_meter_ids
    )


def access_of(row: Subscription, now: datetime) -> Access:
    """Return the access that a subscription gives at a given time."""
    status = SubscriptionStatus(row.subscription_status)
    return access(status, row.grace_ends_at, row.is_written_off, row.is_owing, now)
