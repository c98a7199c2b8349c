"""Repository of payments; the caller owns the transaction."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert

from database.payments.models import Payment, Refund
from database.repository import OwnedRepository
from domain.ids import payment_id
from domain.payments.rules import PaymentStatus
from domain.payments.snapshots import PaymentSnapshot


class StoredPayment(NamedTuple):
    """A payment of an invoice, and whether its row is new.

    Webhook events about a new payment may have arrived before; the caller delivers them by
    `database.webhooks.inbox.deliver_awaiting`, in the same transaction.
    """

    payment_id: UUID
    is_new: bool


class PaymentRepository(OwnedRepository[Payment]):
    """Reads and writes `payments` within one session."""

    table = Payment

    async def put_succeeded(
        self,
        user_id: UUID,
        invoice_id: UUID,
        currency_code: str,
        snapshot: PaymentSnapshot,
    ) -> StoredPayment:
        """Store a successful charge of an invoice, unless it is already stored."""
        await self.lock_intent(snapshot.stripe_payment_intent_id)
        statement = (
            insert(Payment)
            .values(
                payment_id=payment_id(snapshot.stripe_payment_intent_id),
                user_id=user_id,
                invoice_id=invoice_id,
                amount_cents=snapshot.amount_cents,
                currency_code=currency_code,
                payment_status=PaymentStatus.SUCCEEDED,
                stripe_payment_intent_id=snapshot.stripe_payment_intent_id,
            )
            .on_conflict_do_nothing(index_elements=["stripe_payment_intent_id"])
            .returning(Payment.payment_id)
        )
        stored = await self._session.scalar(statement)
        if stored is not None:
            return StoredPayment(stored, is_new=True)
        known = select(Payment.payment_id).where(
            Payment.stripe_payment_intent_id == snapshot.stripe_payment_intent_id,
        )
        known_id = (await self._session.execute(known)).scalar_one()
        return StoredPayment(known_id, is_new=False)

    async def lock_intent(self, stripe_payment_intent_id: str) -> None:
        """Lock a payment intent until the transaction ends.

        An event that finds no payment yet and the insert of the payment cannot miss each other.
        """
        await self._session.execute(
            select(func.pg_advisory_xact_lock(func.hashtext(stripe_payment_intent_id))),
        )

    async def is_refundable(self, payment_id: UUID) -> bool:
        """Tell whether a payment succeeded and has no refund yet."""
        statement = select(Payment.payment_id).where(
            Payment.payment_id == payment_id,
            Payment.payment_status == PaymentStatus.SUCCEEDED,
            ~exists().where(Refund.payment_id == payment_id),
        )
        return await self._session.scalar(statement) is not None

    async def insert(self, **values: Any) -> None:
        """Store a new payment, unless it is already stored."""
        statement = insert(Payment).values(**values)
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["payment_id"]),
        )

    async def lock(self, payment_id: UUID) -> Payment | None:
        """Lock a payment until the transaction ends and return it, or None."""
        return await self._session.get(Payment, payment_id, with_for_update=True)
