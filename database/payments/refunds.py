"""Repository of refunds; the caller owns the transaction."""

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
    """Reads and writes `refunds` within one session; the caller has locked the payment."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, refund_id: UUID) -> Refund | None:
        """Return a refund, or None."""
        return await self._session.get(Refund, refund_id)

    async def list(self, payment_id: UUID) -> Sequence[Refund]:
        """Return the refunds of a payment, oldest first."""
        statement = select(Refund).where(Refund.payment_id == payment_id)
        statement = statement.order_by(Refund.created_at, Refund.refund_id)
        return (await self._session.scalars(statement)).all()

    async def pending_cents(self, payment_id: UUID) -> int:
        """Return the total of a payment's unfinished refunds, in minor units."""
        statement = select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.payment_id == payment_id,
            Refund.refund_status.in_(OPEN_REFUNDS),
        )
        return int(await self._session.scalar(statement) or 0)

    async def reserve(self, payment: Payment, request: RefundInput, amount_cents: int) -> Refund:
        """Store a refund before the call to Stripe."""
        row = Refund(
            refund_id=request.refund_id,
            payment_id=payment.payment_id,
            amount_cents=amount_cents,
            currency_code=payment.currency_code,
            reason=request.reason,
            refund_status=RefundStatus.PENDING,
        )
        self._session.add(row)
        await self._session.flush()
        return row

    async def follow(self, payment: Payment, refunds: Sequence[RefundSnapshot]) -> int:
        """Sync the refunds of a payment with Stripe, including those that were made by hand.

        Returns:
            Amount that has been paid back, in minor units.
        """
        rows = await self.list(payment.payment_id)
        by_stripe_id = {row.stripe_refund_id: row for row in rows if row.stripe_refund_id}
        waiting = {row.refund_id: row for row in rows if row.stripe_refund_id is None}
        for snapshot in refunds:
            row = by_stripe_id.get(snapshot.stripe_refund_id)
            if row is None and snapshot.refund_id is not None:
                row = waiting.get(snapshot.refund_id)
            if row is None:
                row = _made_by_hand(payment, snapshot)
                self._session.add(row)
            row.stripe_refund_id = snapshot.stripe_refund_id
            row.refund_status = snapshot.refund_status
            row.failure_code = snapshot.failure_code
            if row.completed_at is None and snapshot.refund_status not in OPEN_REFUNDS:
                row.completed_at = func.now()
        await self._session.flush()
        statement = select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.payment_id == payment.payment_id,
            Refund.refund_status == RefundStatus.SUCCEEDED,
        )
        return int(await self._session.scalar(statement) or 0)


def _made_by_hand(payment: Payment, snapshot: RefundSnapshot) -> Refund:
    return Refund(
        refund_id=handmade_refund_id(snapshot.stripe_refund_id),
        payment_id=payment.payment_id,
        amount_cents=snapshot.amount_cents,
        currency_code=payment.currency_code,
        reason=snapshot.reason,
    )
