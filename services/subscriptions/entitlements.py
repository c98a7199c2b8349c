"""What a customer's subscriptions entitle to, as their rows say."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.subscriptions.entitlements import Entitlements, Grant, combine
from domain.subscriptions.lifecycle import Access, SubscriptionStatus, access


class UserEntitlements(NamedTuple):
    """What a customer may use, and the periods in which the use is counted.

    Args:
        entitlements: Of all subscriptions together.
        periods: Of each subscription with access: its id, and when its period began.
        booking: The one of them on which new use is booked: it begins anew first.
    """

    entitlements: Entitlements
    periods: tuple[tuple[UUID, datetime], ...]
    booking: tuple[UUID, datetime] | None


async def user_entitlements(
    session: AsyncSession,
    user_id: UUID,
    at: datetime,
    *,
    locks_user: bool = False,
) -> UserEntitlements:
    """Look a customer up.

    Args:
        session: Where to read.
        user_id: Whose subscriptions count.
        at: The moment, on the clock that grace ends by.
        locks_user: Nobody else decides about their means until the transaction ends.

    Returns:
        What they may use at that moment.
    """
    grants, periods = [], []
    found = await SubscriptionRepository(session).with_plans(user_id, locks_user=locks_user)
    for subscription, plan in found:
        grant = Grant(
            plan_id=plan.plan_id,
            access=access_of(subscription, at),
            features=plan.features_data,
            limits=plan.limits_data,
            current_period_end=subscription.current_period_end,
        )
        grants.append(grant)
        begin, end = subscription.current_period_start, subscription.current_period_end
        if grant.access is not Access.NONE and begin is not None and end is not None:
            periods.append((end, subscription.subscription_id, begin))
    ordered = tuple((subscription_id, begin) for _, subscription_id, begin in sorted(periods))
    return UserEntitlements(combine(grants), ordered, ordered[0] if ordered else None)


def access_of(row: Subscription, now: datetime) -> Access:
    """Tell what a subscription's row entitles to at this moment."""
    status = SubscriptionStatus(row.subscription_status)
    return access(status, row.grace_ends_at, row.is_written_off, row.is_owing, now)
