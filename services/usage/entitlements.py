"""Computes what a customer may use, and what of it is used, from one read."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.usage.entitlement_reads import read_user_usage
from domain.plans import LimitWindow
from domain.usage.amounts import WindowUsage
from domain.usage.windows import MetricUsage, UsageByWindow, metric_usage
from services.subscriptions.entitlements import SubscribedPlan, UserEntitlements, entitlements_of


class UsedEntitlements(NamedTuple):
    """What a customer may use, and what is used.

    Args:
        current: Entitlements of all subscriptions, and the periods in which usage is counted.
        by_window: Usage in the current hour, day and periods.
        subscriptions: Subscriptions with access, newest first, and their plans.
        metrics: Usage of each metric that can be limited, within the window of its limit.
    """

    current: UserEntitlements
    by_window: UsageByWindow
    subscriptions: tuple[SubscribedPlan, ...]
    metrics: tuple[MetricUsage, ...]


async def read_entitlements(
    session: AsyncSession, user_id: UUID, at: datetime
) -> UsedEntitlements | None:
    """Return what a customer may use at a given time, and what is used, by one statement.

    Args:
        session: Database session to read with.
        user_id: The customer.
        at: The time in UTC, on the clock by which grace ends.

    Returns:
        Entitlements with usage; None if there is no such active user.
    """
    found = await read_user_usage(session, user_id, at)
    if found is None:
        return None
    subscribed = [(each.subscription, each.plan) for each in found.subscriptions]
    current = entitlements_of(subscribed, at)
    counted = {subscription_id for subscription_id, _ in current.periods}
    in_periods = WindowUsage()
    for each in found.subscriptions:
        if each.subscription.subscription_id in counted:
            in_periods += each.in_period
    with_access = tuple(each for each in subscribed if each[0].subscription_id in counted)
    by_window = {**found.recent, LimitWindow.PERIOD: in_periods}
    period_start = current.booking[1] if current.booking else None
    metrics = metric_usage(current.entitlements, by_window, at, period_start)
    return UsedEntitlements(current, by_window, with_access, metrics)
