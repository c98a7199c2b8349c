"""All SQL about refunds. Never commits: the caller owns the transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.payments.models import Payment, Refund
from domain.ids import handmade_refund_id
from domain.payments.messages import RefundInput
from domain.payments.rules import OPEN_REFUNDS, RefundStatus
from domain.payments.snapshots import RefundSnapshot


class RefundRepository:
    """Reads and writes `refunds` within one session that has locked their payment."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, refund_id: UUID) -> Refund | None:
        """Return a refund, or None."""
        return await self._session.get(Refund, refund_id)

    async def list(self, payment_id: UUID) -> Sequence[Refund]:
        """Return a payment's refunds, oldest first."""
        statement = select(Refund).where(Refund.payment_id == payment_id)
        statement = statement.order_by(Refund.created_at, Refund.refund_id)
        return (await self._session.scalars(statement)).all()

    async def pending_cents(self, payment_id: UUID) -> int:
        """Return how much of a payment is on its way back."""
        statement = select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.payment_id == payment_id,
            Refund.refund_status.in_(OPEN_REFUNDS),
        )
        return int(await self._session.scalar(statement) or 0)

    async def reserve(self, payment: Payment, order: RefundInput, amount_cents: int) -> Refund:
        """Take note of a refund before Stripe is asked for it."""
        row = Refund(
            refund_id=order.refund_id,
            payment_id=payment.payment_id,
            amount_cents=amount_cents,
            currency_code=payment.currency_code,
            reason=order.reason,
            refund_status=RefundStatus.PENDING,
        )
        self._session.add(row)
        await self._session.flush()
        return row

    async def follow(self, payment: Payment, refunds: Sequence[RefundSnapshot]) -> int:
        """Bring a payment's refunds up to what Stripe says, also those that were made by hand.

        Returns:
            How much has been paid back, in minor units.
        """
        rows = await self.list(payment.payment_id)
        by_stripe_id = {row.stripe_refund_id: row for row in rows if row.stripe_refund_id}
        waiting = {row.refund_id: row for row in rows if row.stripe_refund_id is None}
        for seen in refunds:
            row = by_stripe_id.get(seen.stripe_refund_id)
            if row is None and seen.refund_id is not None:
                row = waiting.get(seen.refund_id)
            if row is None:
                row = _made_by_hand(payment, seen)
                self._session.add(row)
            row.stripe_refund_id = seen.stripe_refund_id
            row.refund_status = seen.refund_status
            row.failure_code = seen.failure_code
            if row.completed_at is None and seen.refund_status not in OPEN_REFUNDS:
                row.completed_at = func.now()
        await self._session.flush()
        statement = select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.payment_id == payment.payment_id,
            Refund.refund_status == RefundStatus.SUCCEEDED,
        )
        return int(await self._session.scalar(statement) or 0)


def _made_by_hand(payment: Payment, seen: RefundSnapshot) -> Refund:
    return Refund(
        refund_id=handmade_refund_id(seen.stripe_refund_id),
        payment_id=payment.payment_id,
        amount_cents=seen.amount_cents,
        currency_code=payment.currency_code,
        reason=seen.reason,
    )
