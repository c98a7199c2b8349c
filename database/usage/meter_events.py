"""Repository of meter events; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.usage.models import MeterEvent
from domain.plans import LimitWindow, Metric
from domain.usage.metering import MeterError, MeterEventStatus

# How long a report may wait before it counts as late.
_LATE = timedelta(minutes=10)
# How long reports that failed are counted.
_SHOWN = timedelta(days=30)


class OverageWindow(NamedTuple):
    """The window of a limit in which usage of one subscription is billed.

    Args:
        subscription_id: Subscription on which the usage is booked.
        period_start: Its period.
        metric: What is billed.
        per: Kind of the window.
        window_start: When the window began.
    """

    subscription_id: UUID
    period_start: datetime
    metric: Metric
    per: LimitWindow
    window_start: datetime


class MeterEventRepository:
    """Reads and writes `meter_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def reported(self, window: OverageWindow) -> int:
        """Return how many units of a window are reported, or will be.

        After a plan's limit has got another window, what was reported by the former one in the same
        period counts too, so that nothing is billed twice.
        """
        is_same = (MeterEvent.per == window.per) & (MeterEvent.window_start == window.window_start)
        is_former = (MeterEvent.per != window.per) & (
            MeterEvent.period_start == window.period_start
        )
        statement = select(func.sum(MeterEvent.quantity)).where(
            MeterEvent.subscription_id == window.subscription_id,
            MeterEvent.metric == window.metric,
            is_same | is_former,
        )
        return int(await self._session.scalar(statement) or 0)

    async def add(
        self,
        window: OverageWindow,
        values: Mapping[str, Any],
        quantity: int,
        gather: timedelta,
    ) -> None:
        """Store usage to report, in an event of the window and meter that was not tried yet.

        Args:
            window: Window in which the usage is billed.
            values: Owner of the usage, and the meter.
            quantity: The usage.
            gather: How long a new event waits for more usage.
        """
        facts = window._asdict() | dict(values)
        is_open = (MeterEvent.attempt_count == 0) & (
            MeterEvent.meter_event_status == MeterEventStatus.PENDING
        )
        statement = (
            update(MeterEvent)
            .where(is_open, *(getattr(MeterEvent, name) == fact for name, fact in facts.items()))
            .values(quantity=MeterEvent.quantity + quantity)
            .returning(MeterEvent.meter_event_id)
            .execution_options(synchronize_session=False)
        )
        if (await self._session.scalars(statement)).first() is not None:
            return
        await self._session.execute(
            insert(MeterEvent).values(
                **facts,
                quantity=quantity,
                meter_event_status=MeterEventStatus.PENDING,
                next_attempt_at=func.now() + gather,
            ),
        )

    async def claim(self, limit: int, lease: timedelta) -> Sequence[MeterEvent]:
        """Claim events that are due and count an attempt; after the lease they are due again."""
        due = (
            select(MeterEvent.meter_event_id)
            .where(MeterEvent.next_attempt_at <= func.now())
            .order_by(MeterEvent.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(MeterEvent)
            .where(MeterEvent.meter_event_id.in_(due.scalar_subquery()))
            .values(
                next_attempt_at=func.now() + lease,
                attempt_count=MeterEvent.attempt_count + 1,
                first_attempt_at=func.coalesce(MeterEvent.first_attempt_at, func.now()),
            )
            .returning(MeterEvent)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).all()

    async def postpone(self, meter_event_id: UUID, error_code: str, message: str) -> None:
        """Send an event again after 1, 2, 4 … 60 seconds, by the attempts so far."""
        seconds = func.least(60, func.power(2, func.least(MeterEvent.attempt_count, 7) - 1))
        due_at = func.now() + seconds * timedelta(seconds=1)
        await self._change(
            meter_event_id, next_attempt_at=due_at, error_code=error_code, error_message=message
        )

    async def mark_sent(self, meter_event_id: UUID) -> None:
        """Note that the meter has taken an event."""
        await self._change(
            meter_event_id,
            meter_event_status=MeterEventStatus.SENT,
            next_attempt_at=None,
            sent_at=func.now(),
            error_code=None,
            error_message=None,
        )

    async def give_up(
        self, meter_event_id: UUID, status: MeterEventStatus, error_code: str, message: str
    ) -> None:
        """Note that an event is not sent again."""
        await self._change(
            meter_event_id,
            meter_event_status=status,
            next_attempt_at=None,
            error_code=error_code,
            error_message=message,
        )

    async def _change(self, meter_event_id: UUID, **values: object) -> None:
        """Change a pending event; a later word of the outside system stays."""
        await self._session.execute(
            update(MeterEvent)
            .where(
                MeterEvent.meter_event_id == meter_event_id,
                MeterEvent.meter_event_status == MeterEventStatus.PENDING,
            )
            .values(**values)
            .execution_options(synchronize_session=False),
        )


async def reject_meter_events(session: AsyncSession, errors: Sequence[MeterError]) -> int:
    """Note that a meter could not count events that it had taken.

    Returns:
        Number of events that are ours.
    """
    count = 0
    for error in errors:
        statement = (
            update(MeterEvent)
            .where(MeterEvent.meter_event_id == _id_of(error.identifier))
            .values(
                meter_event_status=MeterEventStatus.REJECTED,
                next_attempt_at=None,
                error_code=error.error_code,
                error_message=error.message,
            )
            .returning(MeterEvent.meter_event_id)
        )
        count += len((await session.scalars(statement)).all())
    return count


async def count_unsent(session: AsyncSession) -> dict[str, int]:
    """Return how many events Stripe has not counted, by status, of the last 30 days.

    Pending events count if they are late.
    """
    is_late = MeterEvent.next_attempt_at.is_not(None) & (MeterEvent.created_at < func.now() - _LATE)
    given_up = (MeterEventStatus.REJECTED, MeterEventStatus.OUTCOME_UNKNOWN)
    statement = (
        select(MeterEvent.meter_event_status, func.count())
        .where(MeterEvent.created_at > func.now() - _SHOWN)
        .where(MeterEvent.meter_event_status.in_(given_up) | is_late)
        .group_by(MeterEvent.meter_event_status)
    )
    return {row[0]: row[1] for row in await session.execute(statement)}


async def newest_meter_events(
    session: AsyncSession, user_id: UUID, count: int
) -> Sequence[MeterEvent]:
    """Return the newest events of a user, newest first."""
    statement = (
        select(MeterEvent)
        .where(MeterEvent.user_id == user_id)
        .order_by(MeterEvent.created_at.desc(), MeterEvent.meter_event_id.desc())
        .limit(count)
    )
    return (await session.scalars(statement)).all()


def _id_of(identifier: str) -> UUID | None:
    """Return the event's id that an identifier is; None for a foreign identifier."""
    try:
        return UUID(identifier)
    except ValueError:
        return None
