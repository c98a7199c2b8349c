"""Reads a user's subscriptions, plans and usage in one statement."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.plans.models import Plan
from database.subscriptions.models import Subscription
from database.usage.models import UsageRecord
from database.usage.sums import read_sums, usage_sums
from domain.plans import LimitWindow
from domain.subscriptions.lifecycle import FINAL
from domain.usage.amounts import WindowUsage
from domain.usage.windows import day_of, hour_of

_IN_PERIOD = (
    select(*usage_sums("period_"))
    .where(
        UsageRecord.subscription_id == Subscription.subscription_id,
        UsageRecord.period_start == Subscription.current_period_start,
    )
    .lateral("in_period")
)
_RECENT = (
    select(*usage_sums("hour_", UsageRecord.created_at >= bindparam("hour")), *usage_sums("day_"))
    .where(UsageRecord.user_id == User.user_id, UsageRecord.created_at >= bindparam("day"))
    .lateral("recent")
)
# Reason: building this statement takes longer than executing it, and every run needs it.
_READ = (
    select(Subscription, Plan, _IN_PERIOD, _RECENT)
    .select_from(User)
    .outerjoin(
        Subscription,
        (Subscription.user_id == User.user_id) & Subscription.subscription_status.not_in(FINAL),
    )
    .outerjoin(Plan, Plan.plan_id == Subscription.plan_id)
    .outerjoin(_IN_PERIOD, true())
    .outerjoin(_RECENT, true())
    .where(User.user_id == bindparam("user_id"), User.is_active)
    .order_by(Subscription.created_at.desc())
)


class SubscriptionUsage(NamedTuple):
    """A subscription that has not ended, its plan, and the usage booked on its current period."""

    subscription: Subscription
    plan: Plan
    in_period: WindowUsage


class UserUsage(NamedTuple):
    """A user's subscriptions with their usage, newest first, and all usage of the hour and day."""

    subscriptions: tuple[SubscriptionUsage, ...]
    recent: dict[LimitWindow, WindowUsage]


async def read_user_usage(session: AsyncSession, user_id: UUID, at: datetime) -> UserUsage | None:
    """Return a user's subscriptions, plans and usage.

    Args:
        session: Database session to read with.
        user_id: The user.
        at: Time whose hour and day are counted, in UTC.

    Returns:
        The rows and their usage; None if there is no such active user.
    """
    parameters = {"user_id": user_id, "hour": hour_of(at), "day": day_of(at)}
    rows = (await session.execute(_READ, parameters)).all()
    if not rows:
        return None
    subscriptions = tuple(
        SubscriptionUsage(row[0], row[1], read_sums(row, "period_"))
        for row in rows
        # Reason: a subscription of no plan of ours entitles to nothing.
        if row[1] is not None
    )
    recent = {per: read_sums(rows[0], f"{per}_") for per in (LimitWindow.HOUR, LimitWindow.DAY)}
    return UserUsage(subscriptions, recent)
