"""Reads payments from Stripe and writes their rows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from adapters.stripe.cards import StripeCards
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.payments import StripePayments
from adapters.stripe.refunds import StripeRefunds
from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from database.session import Sessions
from database.webhooks.inbox import deliver_awaiting
from domain.errors import NotFoundError
from domain.parked_steps import ParkedStep
from domain.payments.messages import PaymentState
from domain.payments.rules import PaymentStatus, follow, status_of_intent
from services.payments.customers import UserStripeCustomer


@dataclass(frozen=True)
class PaymentSync:
    """Syncs payments from Stripe into our rows."""

    payments: StripePayments
    refunds: StripeRefunds
    customers: StripeCustomers
    cards: StripeCards
    sessions: Sessions

    async def row(self, payment_id: UUID) -> Payment:
        """Return a payment's row.

        Raises:
            NotFoundError: There is no such payment.
        """
        async with self.sessions() as session:
            return _existing(await PaymentRepository(session).get(payment_id, None))

    async def find(self, row: Payment) -> str | None:
        """Return the id of a payment's intent, even if the answer to its creation was lost.

        Raises:
            ApplicationError: Stripe is down.
        """
        if row.stripe_payment_intent_id is not None:
            return row.stripe_payment_intent_id
        customer_id = await self.owner(row).known()
        return await self.payments.find(row.payment_id, customer_id) if customer_id else None

    def owner(self, row: Payment) -> UserStripeCustomer:
        """Return the helper for the Stripe customer who pays."""
        return UserStripeCustomer(row.user_id, self.customers, self.sessions)

    async def sync(self, payment_id: UUID, stripe_payment_intent_id: str) -> PaymentState:
        """Read a payment and its refunds from Stripe, and write both in one transaction.

        Raises:
            ApplicationError: There is no such payment, or Stripe is down.
        """
        snapshot = await self.payments.read(stripe_payment_intent_id)
        is_paid = status_of_intent(snapshot) is PaymentStatus.SUCCEEDED
        refunds = await self.refunds.list(stripe_payment_intent_id) if is_paid else ()
        async with self.sessions.begin() as session:
            payments = PaymentRepository(session)
            row = _existing(await payments.lock(payment_id))
            if row.stripe_payment_intent_id is None:
                await payments.lock_intent(stripe_payment_intent_id)
                await deliver_awaiting(session, stripe_payment_intent_id)
            row.stripe_payment_intent_id = snapshot.stripe_payment_intent_id
            row.refunded_cents = await RefundRepository(session).follow(row, refunds)
            before = PaymentStatus(row.payment_status)
            row.payment_status = follow(before, snapshot, row.refunded_cents)
            row.decline_code = snapshot.decline_code
            row.next_action_url = snapshot.next_action_url
            row.parked_data = []
            return state_of(row)

    async def settle(
        self,
        payment_id: UUID,
        status: PaymentStatus,
        decline_code: str | None,
        canceled_at: datetime | None = None,
    ) -> PaymentState:
        """Write a final status that Stripe does not know of.

        Args:
            payment_id: Payment to end.
            status: Final status.
            decline_code: Why the payment failed.
            canceled_at: When the payment was canceled; a charge that succeeds anyway is refunded.

        Raises:
            NotFoundError: There is no such payment.
        """
        async with self.sessions.begin() as session:
            row = _existing(await PaymentRepository(session).lock(payment_id))
            row.payment_status, row.decline_code = status, decline_code
            row.canceled_at = canceled_at
            row.parked_data = []
            return state_of(row)

    async def park(self, payment_id: UUID, parked: tuple[ParkedStep, ...]) -> PaymentState:
        """Show the parked step in the payment's row; none if no step is parked.

        Raises:
            NotFoundError: There is no such payment.
        """
        async with self.sessions.begin() as session:
            row = _existing(await PaymentRepository(session).lock(payment_id))
            row.parked_data = [step.model_dump(mode="json") for step in parked]
            return state_of(row)


def state_of(row: Payment) -> PaymentState:
    """Return the payment's state for the workflow."""
    return PaymentState(
        payment_id=row.payment_id,
        user_id=row.user_id,
        payment_status=PaymentStatus(row.payment_status),
        amount_cents=row.amount_cents,
        refunded_cents=row.refunded_cents,
        currency_code=row.currency_code,
        stripe_payment_intent_id=row.stripe_payment_intent_id,
        decline_code=row.decline_code,
        is_canceled=row.canceled_at is not None,
    )


def _existing(row: Payment | None) -> Payment:
    if row is None:
        raise NotFoundError("there is no such payment")
    return row
