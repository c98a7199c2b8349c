"""All SQL about charges of unpaid invoices. Never commits: the caller owns the transaction."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import PaymentAttempt
from domain.retries import CARD_ATTEMPT_WINDOW, LIMIT_REACHED


class PaymentAttemptRepository:
    """Reads and writes `payment_attempts` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def reserve(self, **values: Any) -> PaymentAttempt:
        """Take note of a charge before it is made.

        Returns:
            The row; one that was there already means that an earlier call may have charged.
        """
        statement = (
            insert(PaymentAttempt)
            .values(**values)
            .on_conflict_do_nothing(index_elements=["payment_retry_id", "attempt"])
        )
        await self._session.execute(statement)
        row = await self._session.scalar(
            select(PaymentAttempt)
            .where(
                PaymentAttempt.payment_retry_id == values["payment_retry_id"],
                PaymentAttempt.attempt == values["attempt"],
            )
            .with_for_update(),
        )
        if row is None:
            raise LookupError("a reserved attempt has gone")
        return row

    async def settle(self, payment_retry_id: UUID, attempt: int, **values: Any) -> None:
        """Record how a charge ended."""
        await self._session.execute(
            update(PaymentAttempt)
            .where(
                PaymentAttempt.payment_retry_id == payment_retry_id,
                PaymentAttempt.attempt == attempt,
            )
            .values(**values),
        )

    async def last_attempt(self, payment_retry_id: UUID) -> int:
        """Return the number of the latest charge of a recovery; 0 is Stripe's own."""
        statement = select(func.max(PaymentAttempt.attempt)).where(
            PaymentAttempt.payment_retry_id == payment_retry_id,
        )
        return await self._session.scalar(statement) or 0

    async def count_of_card(self, stripe_payment_method_id: str, until: datetime) -> int:
        """Count a card's charges over all invoices in the networks' window up to `until`."""
        statement = select(func.count()).where(
            PaymentAttempt.stripe_payment_method_id == stripe_payment_method_id,
            PaymentAttempt.attempted_at > until - CARD_ATTEMPT_WINDOW,
            PaymentAttempt.attempted_at <= until,
            # Reason: an attempt that the limit stopped never reached the network.
            PaymentAttempt.decline_code.is_distinct_from(LIMIT_REACHED),
        )
        return await self._session.scalar(statement) or 0
