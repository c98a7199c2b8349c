"""The book of refunds: reserved before Stripe is asked, under their payment's lock."""

from typing import NamedTuple

from database.payments.models import Payment, Refund
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from database.session import Sessions
from domain.errors import (
    ApplicationError,
    ConflictError,
    IllegalCommandError,
    InvalidInputError,
    NotFoundError,
    ProviderRejectedError,
)
from domain.payments.messages import RefundInput, RefundOutcome, RefundResult
from domain.payments.rules import (
    PaymentCommandKind,
    PaymentStatus,
    RefundStatus,
    refundable_cents,
    refusal,
)
from services.payments.stripe_sync import state_of


class RefundReservation(NamedTuple):
    """A refund as it stands in our database before Stripe is asked."""

    refund: Refund
    stripe_payment_intent_id: str
    is_new: bool


class RefundReservations:
    """Refunds as we know them; together they never exceed their payment."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def reserve(self, order: RefundInput) -> RefundReservation:
        """Take note of a refund before it is made, or find the note of an earlier call.

        Raises:
            NotFoundError: There is no such payment.
            ConflictError: This refund belongs to another payment.
            IllegalCommandError: The payment's status allows no refund.
            InvalidInputError: It is more than is left.
        """
        async with self._sessions.begin() as session:
            payment = await PaymentRepository(session).lock(order.payment_id)
            if payment is None:
                raise NotFoundError("there is no such payment")
            refunds = RefundRepository(session)
            known = refund = await refunds.get(order.refund_id)
            if known is not None and known.payment_id != payment.payment_id:
                raise ConflictError("this refund belongs to another payment")
            if refund is None:
                pending = await refunds.pending_cents(payment.payment_id)
                refund = await refunds.reserve(payment, order, _allowed(order, payment, pending))
            intent_id = payment.stripe_payment_intent_id or ""
            return RefundReservation(refund, intent_id, is_new=known is None)

    async def fail(self, refund: Refund, why: ApplicationError) -> None:
        """Take note that Stripe refused."""
        async with self._sessions.begin() as session:
            row = await session.merge(refund)
            row.refund_status = RefundStatus.FAILED
            row.failure_code = why.details.get("stripe_code") or why.error_code

    async def made(self, order: RefundInput) -> RefundOutcome:
        """Return a refund that Stripe has made, and its payment."""
        async with self._sessions() as session:
            payment = await session.get_one(Payment, order.payment_id)
            refund = await session.get_one(Refund, order.refund_id)
        if refund.stripe_refund_id is None:
            raise LookupError("Stripe does not list a refund that it has made")
        result = RefundResult(
            refund_id=refund.refund_id,
            payment_id=refund.payment_id,
            amount_cents=refund.amount_cents,
            currency_code=refund.currency_code,
            refund_status=RefundStatus(refund.refund_status),
            stripe_refund_id=refund.stripe_refund_id,
        )
        return RefundOutcome(refund=result, state=state_of(payment))

    async def why_refused(self, order: RefundInput) -> ApplicationError:
        """Return our reason if, by what we know now, we would refuse too; else Stripe's."""
        async with self._sessions() as session:
            payment = await session.get_one(Payment, order.payment_id)
            refund = await session.get_one(Refund, order.refund_id)
            pending = await RefundRepository(session).pending_cents(order.payment_id)
        try:
            _allowed(order, payment, pending)
        except ApplicationError as ours:
            return ours
        details = {"stripe_code": refund.failure_code}
        return ProviderRejectedError("Stripe refused the refund", details=details)


def _allowed(order: RefundInput, payment: Payment, pending_cents: int) -> int:
    """Return how much is to be paid back, if that much is left."""
    status = PaymentStatus(payment.payment_status)
    if (reason := refusal(status, PaymentCommandKind.REFUND)) is not None:
        raise IllegalCommandError(reason, details={"payment_status": status})
    left = refundable_cents(payment.amount_cents, payment.refunded_cents, pending_cents)
    amount = left if order.amount_cents is None else order.amount_cents
    if not 0 < amount <= left:
        raise InvalidInputError(
            "this is more than is left to refund",
            "refund_exceeds_payment",
            {"refundable_cents": left},
        )
    return amount
