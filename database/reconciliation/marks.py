"""Repository of marks: how far events were read, and when Stripe may be called next."""

from datetime import datetime, timedelta

from sqlalchemy import Interval, func, select, type_coerce
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.reconciliation.models import ReconciliationMark

# Name of the mark of the next call to Stripe.
CALLS = "stripe_calls"


class ReconciliationMarkRepository:
    """Reads and writes `reconciliation_marks` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, name: str) -> ReconciliationMark | None:
        """Return a mark, or None."""
        return await self._session.scalar(
            select(ReconciliationMark).where(ReconciliationMark.mark_name == name),
        )

    async def move(self, name: str, marked_at: datetime) -> None:
        """Move a mark forward; it never goes back, and when it was moved is noted anyway."""
        statement = insert(ReconciliationMark).values(mark_name=name, marked_at=marked_at)
        latest = func.greatest(ReconciliationMark.marked_at, statement.excluded.marked_at)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[ReconciliationMark.mark_name],
                set_={"marked_at": latest, "updated_at": func.now()},
            ),
        )

    async def reserve_call(self, interval: timedelta) -> timedelta:
        """Reserve the next call to Stripe for this caller, among all processes.

        Args:
            interval: Least time between two calls.

        Returns:
            How long to wait before the call.
        """
        now = func.clock_timestamp()
        statement = insert(ReconciliationMark).values(mark_name=CALLS, marked_at=now + interval)
        reserved = statement.on_conflict_do_update(
            index_elements=[ReconciliationMark.mark_name],
            set_={
                "marked_at": func.greatest(ReconciliationMark.marked_at, now) + interval,
                "updated_at": func.now(),
            },
        ).returning(type_coerce(ReconciliationMark.marked_at - interval - now, Interval()))
        wait = (await self._session.execute(reserved)).scalar_one()
        return max(wait, timedelta())
