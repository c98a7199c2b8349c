"""Computes alerts and usage to bill from settled usage, one user after the other."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from database.session import DATABASE_DOWN, Sessions
from database.usage.meter_events import MeterEventRepository, OverageWindow
from database.usage.usage_alerts import record_usage_alert
from database.usage.usage_reviews import DueUsage, UsageReviewRepository
from domain.plans import Limit, LimitWindow, MeteredPrice, Metric, metered_prices
from domain.usage.alerts import alerts_of
from domain.usage.metering import overage_due
from domain.usage.windows import window_start_of
from services.subscriptions.entitlements import SubscribedPlan, overage_metrics_of
from services.usage.entitlements import UsedEntitlements, read_entitlements

BATCH_SIZE = 500
LEASE = timedelta(seconds=30)
# How long usage of one window is gathered in one report.
GATHER = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class _Billed(NamedTuple):
    """How usage of one metric that is booked on a subscription is billed."""

    metric: Metric
    limit: Limit | None
    price: MeteredPrice
    stripe_customer_id: str


class UsageReviews:
    """Records alerts, and stores usage beyond limits as meter events.

    What is due is computed from all usage of a window less what was stored before, under a lock of
    the user. So a review that is repeated after a crash, or runs twice at once, adds nothing.
    """

    def __init__(
        self, sessions: Sessions, lease: timedelta = LEASE, gather: timedelta = GATHER
    ) -> None:
        self._sessions = sessions
        self._lease = lease
        self._gather = gather

    async def review_due(self) -> int:
        """Review the usage that is due, up to one batch.

        Returns:
            Number of records that were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            due = await UsageReviewRepository(session).claim(BATCH_SIZE, self._lease)
        by_user: defaultdict[UUID, list[DueUsage]] = defaultdict(list)
        for record in due:
            by_user[record.user_id].append(record)
        for user_id, records in by_user.items():
            try:
                await self._review(user_id, records)
            except DATABASE_DOWN:
                raise
            except Exception:
                # Reason: the usage of one user must not hold up that of others; it is due again.
                log.exception("usage_not_reviewed", user_id=str(user_id))
        return len(due)

    async def _review(self, user_id: UUID, records: Sequence[DueUsage]) -> None:
        async with self._sessions.begin() as session:
            reviews = UsageReviewRepository(session)
            await reviews.lock(user_id)
            # Reason: the statement after the lock sees what another review has stored.
            found = await read_entitlements(session, user_id, datetime.now(UTC))
            if found is not None:
                await _record_alerts(session, user_id, found)
            for subscription_id in {record.subscription_id for record in records}:
                booked = [each for each in records if each.subscription_id == subscription_id]
                await _store_overage(session, found, booked, self._gather)
            await reviews.settle([record.usage_record_id for record in records])


async def _record_alerts(session: AsyncSession, user_id: UUID, found: UsedEntitlements) -> None:
    for alert in alerts_of(found.metrics):
        if await record_usage_alert(session, user_id, alert):
            log.info(
                "usage_alert",
                user_id=str(user_id),
                metric=alert.metric,
                threshold_percent=alert.threshold_percent,
                limit=alert.limit_count,
                per=alert.per,
            )


async def _store_overage(
    session: AsyncSession,
    found: UsedEntitlements | None,
    records: Sequence[DueUsage],
    gather: timedelta,
) -> None:
    """Store the usage to bill of the windows of some records of one subscription."""
    booked = await UsageReviewRepository(session).booked(records[0].subscription_id)
    for billed in _billed(booked, found):
        per = billed.limit.per if billed.limit else LimitWindow.PERIOD
        windows = {
            OverageWindow(
                record.subscription_id,
                record.period_start,
                billed.metric,
                per,
                window_start_of(per, record.created_at, record.period_start),
            )
            for record in records
        }
        for window in sorted(windows):
            await _store_window(session, window, billed, records[0].user_id, gather)


def _billed(booked: SubscribedPlan, found: UsedEntitlements | None) -> Iterator[_Billed]:
    """Yield how each metric is billed: with the booked subscription, else with another one."""
    others = found.subscriptions if found else ()
    limits = found.current.entitlements.limits if others and found else None
    for metric in Metric:
        for subscription, plan in (booked, *others):
            if metric not in overage_metrics_of(subscription, plan):
                continue
            own = plan.limits_data.get(metric)
            limit = None if own is None else Limit.model_validate(own)
            if limit is not None and limits is not None:
                limit = limits.get(metric)
                if limit is None:
                    break  # another plan of the customer has no limit
            price = metered_prices(plan.overage_data, plan.stripe_overage_data)[metric]
            yield _Billed(metric, limit, price, subscription.stripe_customer_id or "")
            break


async def _store_window(
    session: AsyncSession,
    window: OverageWindow,
    billed: _Billed,
    user_id: UUID,
    gather: timedelta,
) -> None:
    reviews, events = UsageReviewRepository(session), MeterEventRepository(session)
    used = await reviews.used_in(window)
    quantity = overage_due(used, billed.limit, await events.reported(window))
    if quantity:
        values: dict[str, Any] = {
            "user_id": user_id,
            "event_name": billed.price.event_name,
            "stripe_customer_id": billed.stripe_customer_id,
        }
        await events.add(window, values, quantity, gather)
