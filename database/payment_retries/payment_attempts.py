"""Repository of charges of unpaid invoices; the caller owns the transaction."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.payment_retries.models import PaymentAttempt, PaymentRetry
from domain.payment_retries.lifecycle import AttemptTrigger, ChargeResult
from domain.payment_retries.policy import CARD_ATTEMPT_WINDOW


class PaymentAttemptRepository:
    """Reads and writes `payment_attempts` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def reserve(self, **values: Any) -> PaymentAttempt:
        """Store a charge before it is made.

        Returns:
            The row; if it was stored before, an earlier call may have charged.
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
            raise LookupError("a reserved attempt has disappeared")
        return row

    async def get(self, payment_retry_id: UUID, attempt: int) -> PaymentAttempt | None:
        """Return one attempt of a payment retry, or None."""
        statement = select(PaymentAttempt).where(
            PaymentAttempt.payment_retry_id == payment_retry_id,
            PaymentAttempt.attempt == attempt,
        )
        return await self._session.scalar(statement)

    async def settle(self, payment_retry_id: UUID, attempt: int, **values: Any) -> None:
        """Store the result of a charge."""
        await self._session.execute(
            update(PaymentAttempt)
            .where(
                PaymentAttempt.payment_retry_id == payment_retry_id,
                PaymentAttempt.attempt == attempt,
            )
            .values(**values),
        )

    async def release(self, payment_retry_id: UUID, attempt: int) -> None:
        """Delete a reserved charge that was not made."""
        await self._session.execute(
            delete(PaymentAttempt).where(
                PaymentAttempt.payment_retry_id == payment_retry_id,
                PaymentAttempt.attempt == attempt,
            ),
        )

    async def last_scheduled_at(self, payment_retry_id: UUID) -> datetime | None:
        """Return the time of the last scheduled charge, or of Stripe's first charge."""
        statement = select(func.max(PaymentAttempt.attempted_at)).where(
            PaymentAttempt.payment_retry_id == payment_retry_id,
            PaymentAttempt.trigger.in_((AttemptTrigger.INITIAL, AttemptTrigger.SCHEDULED)),
        )
        return await self._session.scalar(statement)

    async def last_decline_of_card(self, card_fingerprint: str) -> PaymentAttempt | None:
        """Return the latest charge of a card over all invoices if it was declined, else None."""
        statement = (
            select(PaymentAttempt)
            .where(
                PaymentAttempt.card_fingerprint == card_fingerprint,
                PaymentAttempt.outcome.in_((ChargeResult.FAILED, ChargeResult.SUCCEEDED)),
            )
            .order_by(PaymentAttempt.attempted_at.desc())
            .limit(1)
        )
        last = await self._session.scalar(statement)
        return last if last is not None and last.outcome == ChargeResult.FAILED else None

    async def last_failed_card(self, stripe_invoice_id: str) -> str | None:
        """Return the payment method of an invoice's latest declined charge; None if unknown."""
        statement = (
            select(PaymentAttempt.stripe_payment_method_id)
            .join(PaymentRetry, PaymentRetry.payment_retry_id == PaymentAttempt.payment_retry_id)
            .where(
                PaymentRetry.stripe_invoice_id == stripe_invoice_id,
                PaymentAttempt.outcome == ChargeResult.FAILED,
            )
            .order_by(PaymentAttempt.attempt.desc())
            .limit(1)
        )
        return await self._session.scalar(statement)

    async def last_attempt(self, payment_retry_id: UUID) -> int:
        """Return the number of the latest charge of a payment retry; 0 is Stripe's first charge."""
        statement = select(func.max(PaymentAttempt.attempt)).where(
            PaymentAttempt.payment_retry_id == payment_retry_id,
        )
        return await self._session.scalar(statement) or 0

    async def count_of_card(self, card_fingerprint: str, until: datetime) -> int:
        """Count the charges of a card over all invoices in the card networks' window to `until`."""
        statement = select(func.count()).where(
            PaymentAttempt.card_fingerprint == card_fingerprint,
            PaymentAttempt.attempted_at > until - CARD_ATTEMPT_WINDOW,
            PaymentAttempt.attempted_at <= until,
        )
        return await self._session.scalar(statement) or 0
