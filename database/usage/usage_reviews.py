"""Repository of settled usage that alerts and overage are still to be computed from.

The caller owns the transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.plans.models import Plan
from database.subscriptions.models import Subscription
from database.usage.meter_events import OverageWindow
from database.usage.models import UsageRecord
from database.usage.sums import read_sums, usage_sums
from domain.plans import LimitWindow

_LENGTHS = {LimitWindow.HOUR: timedelta(hours=1), LimitWindow.DAY: timedelta(days=1)}


class DueUsage(NamedTuple):
    """A settled record of usage."""

    usage_record_id: UUID
    user_id: UUID
    subscription_id: UUID
    period_start: datetime
    created_at: datetime


class UsageReviewRepository:
    """Claims and settles usage within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueUsage]:
        """Claim usage that is due, oldest first; after the lease it is due again."""
        due = (
            select(UsageRecord.usage_record_id)
            .where(UsageRecord.review_due_at <= func.now())
            .order_by(UsageRecord.review_due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        columns = (getattr(UsageRecord, name) for name in DueUsage._fields)
        statement = (
            update(UsageRecord)
            .where(UsageRecord.usage_record_id.in_(due.scalar_subquery()))
            .values(review_due_at=func.now() + lease)
            .returning(*columns)
            .execution_options(synchronize_session=False)
        )
        return [DueUsage(*row) for row in await self._session.execute(statement)]

    async def lock(self, user_id: UUID) -> None:
        """Lock the review of a user's usage until the transaction ends."""
        key = func.hashtext(f"usage-review:{user_id}")
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def booked(self, subscription_id: UUID) -> tuple[Subscription, Plan]:
        """Return a subscription, also one that has ended, and its plan."""
        statement = (
            select(Subscription, Plan)
            .join(Plan, Plan.plan_id == Subscription.plan_id)
            .where(Subscription.subscription_id == subscription_id)
        )
        row = (await self._session.execute(statement)).one()
        return row[0], row[1]

    async def used_in(self, window: OverageWindow) -> Decimal:
        """Return the settled usage of a window that is booked on its subscription."""
        length = _LENGTHS.get(window.per)
        is_inside = (
            UsageRecord.period_start == window.period_start
            if length is None
            else (UsageRecord.created_at >= window.window_start)
            & (UsageRecord.created_at < window.window_start + length)
        )
        statement = select(*usage_sums()).where(
            UsageRecord.subscription_id == window.subscription_id, is_inside
        )
        return read_sums((await self._session.execute(statement)).one()).of(window.metric)

    async def settle(self, usage_record_ids: Sequence[UUID]) -> None:
        """Note that nothing more is to be computed from these records."""
        statement = update(UsageRecord).where(UsageRecord.usage_record_id.in_(usage_record_ids))
        await self._session.execute(statement.values(review_due_at=None))
