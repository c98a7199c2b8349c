"""All SQL about recoveries of unpaid invoices. Never commits: the caller owns the transaction."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import PaymentAttempt, PaymentRetry
from database.paging import Page, newest_first
from domain.retries import CLOSED, AttemptTrigger, RetryStatus
from domain.retry_messages import RetrySnapshot


class PaymentRetryRepository:
    """Reads and writes `payment_retries` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def insert(self, **values: Any) -> None:
        """Store a new recovery; one that is there already stays as it is."""
        await self._session.execute(
            insert(PaymentRetry).values(**values).on_conflict_do_nothing(),
        )

    async def save(self, snapshot: RetrySnapshot) -> None:
        """Show where a recovery stands now."""
        await self._session.execute(
            update(PaymentRetry)
            .where(PaymentRetry.payment_retry_id == snapshot.payment_retry_id)
            .values(**snapshot.model_dump(exclude={"payment_retry_id"})),
        )

    async def show_charging(self, payment_retry_id: UUID) -> None:
        """Show that a charge is being made."""
        await self._session.execute(
            update(PaymentRetry)
            .where(PaymentRetry.payment_retry_id == payment_retry_id)
            .values(retry_status=RetryStatus.CHARGING, next_attempt_at=None),
        )

    async def get(self, payment_retry_id: UUID, user_id: UUID | None) -> PaymentRetry | None:
        """Return a recovery of this owner; None for anybody's."""
        statement = select(PaymentRetry).where(PaymentRetry.payment_retry_id == payment_retry_id)
        if user_id is not None:
            statement = statement.where(PaymentRetry.user_id == user_id)
        return await self._session.scalar(statement)

    async def list(
        self,
        user_id: UUID | None,
        subscription_id: UUID | None,
        retry_status: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[PaymentRetry]:
        """Return one page of recoveries, newest first; None filters nothing."""
        statement = select(PaymentRetry)
        if user_id is not None:
            statement = statement.where(PaymentRetry.user_id == user_id)
        if subscription_id is not None:
            statement = statement.where(PaymentRetry.subscription_id == subscription_id)
        if retry_status is not None:
            statement = statement.where(PaymentRetry.retry_status == retry_status)
        place = (PaymentRetry.created_at, PaymentRetry.payment_retry_id)
        return await newest_first(self._session, statement, place, limit, cursor)

    async def list_open(
        self,
        *,
        user_id: UUID | None = None,
        subscription_id: UUID | None = None,
    ) -> Sequence[PaymentRetry]:
        """Return the open recoveries of a user or of a subscription, oldest first."""
        statement = select(PaymentRetry).where(PaymentRetry.retry_status.not_in(CLOSED))
        if user_id is not None:
            statement = statement.where(PaymentRetry.user_id == user_id)
        if subscription_id is not None:
            statement = statement.where(PaymentRetry.subscription_id == subscription_id)
        return (await self._session.scalars(statement.order_by(PaymentRetry.created_at))).all()

    async def attempts(
        self,
        payment_retry_ids: Sequence[UUID],
    ) -> Mapping[UUID, Sequence[PaymentAttempt]]:
        """Return our charges of several recoveries in one query, each oldest first."""
        statement = (
            select(PaymentAttempt)
            .where(
                PaymentAttempt.payment_retry_id.in_(payment_retry_ids),
                PaymentAttempt.trigger != AttemptTrigger.INITIAL,
            )
            .order_by(PaymentAttempt.attempt)
        )
        found: defaultdict[UUID, deque[PaymentAttempt]] = defaultdict(deque)
        for row in await self._session.scalars(statement):
            found[row.payment_retry_id].append(row)
        return found
