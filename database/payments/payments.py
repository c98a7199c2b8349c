"""All SQL about payments. Never commits: the caller owns the transaction."""

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
    """A payment of an invoice, and whether it has just become known.

    Events about it may have come before; they are delivered by
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
        seen: PaymentSnapshot,
    ) -> StoredPayment:
        """Store a successful charge of an invoice; one that is stored stays as it is."""
        await self.lock_intent(seen.stripe_payment_intent_id)
        statement = (
            insert(Payment)
            .values(
                payment_id=payment_id(seen.stripe_payment_intent_id),
                user_id=user_id,
                invoice_id=invoice_id,
                amount_cents=seen.amount_cents,
                currency_code=currency_code,
                payment_status=PaymentStatus.SUCCEEDED,
                stripe_payment_intent_id=seen.stripe_payment_intent_id,
            )
            .on_conflict_do_nothing(index_elements=["stripe_payment_intent_id"])
            .returning(Payment.payment_id)
        )
        stored = await self._session.scalar(statement)
        if stored is not None:
            return StoredPayment(stored, is_new=True)
        known = select(Payment.payment_id).where(
            Payment.stripe_payment_intent_id == seen.stripe_payment_intent_id,
        )
        known_id = (await self._session.execute(known)).scalar_one()
        return StoredPayment(known_id, is_new=False)

    async def lock_intent(self, stripe_payment_intent_id: str) -> None:
        """Let nobody else store or look for this intent's payment until the transaction ends.

        So an event that finds no payment, and the payment's row, do not miss each other.
        """
        await self._session.execute(
            select(func.pg_advisory_xact_lock(func.hashtext(stripe_payment_intent_id))),
        )

    async def is_refundable(self, payment_id: UUID) -> bool:
        """Tell whether a payment was paid, and nothing of it was asked back yet."""
        statement = select(Payment.payment_id).where(
            Payment.payment_id == payment_id,
            Payment.payment_status == PaymentStatus.SUCCEEDED,
            ~exists().where(Refund.payment_id == payment_id),
        )
        return await self._session.scalar(statement) is not None

    async def insert(self, **values: Any) -> None:
        """Store a new payment; one that is stored stays as it is."""
        statement = insert(Payment).values(**values)
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["payment_id"]),
        )

    async def lock(self, payment_id: UUID) -> Payment | None:
        """Return a payment, which nobody else changes or refunds until the transaction ends."""
        return await self._session.get(Payment, payment_id, with_for_update=True)
