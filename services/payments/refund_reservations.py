"""Reserves refunds before Stripe is called, under the lock of their payment."""

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
from domain.payments.money import check_step
from domain.payments.rules import (
    PaymentCommandKind,
    PaymentStatus,
    RefundStatus,
    refundable_cents,
    refusal,
)
from services.payments.stripe_sync import state_of


class RefundReservation(NamedTuple):
    """A refund as stored in our database before Stripe is called."""

    refund: Refund
    stripe_payment_intent_id: str
    is_new: bool


class RefundReservations:
    """Reserves refunds; together they never exceed their payment."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def reserve(self, refund_input: RefundInput) -> RefundReservation:
        """Reserve a refund before it is made, or return the reservation of an earlier call.

        Raises:
            NotFoundError: There is no such payment.
            ConflictError: This refund id belongs to another payment.
            IllegalCommandError: The payment's status allows no refund.
            InvalidInputError: The amount exceeds what is left, or the currency has no such amount.
        """
        async with self._sessions.begin() as session:
            payment = await PaymentRepository(session).lock(refund_input.payment_id)
            if payment is None:
                raise NotFoundError("there is no such payment")
            refunds = RefundRepository(session)
            existing = refund = await refunds.get(refund_input.refund_id)
            if existing is not None and existing.payment_id != payment.payment_id:
                raise ConflictError("this refund belongs to another payment")
            if refund is None:
                pending = await refunds.pending_cents(payment.payment_id)
                refund = await refunds.reserve(
                    payment, refund_input, _allowed(refund_input, payment, pending)
                )
            intent_id = payment.stripe_payment_intent_id or ""
            return RefundReservation(refund, intent_id, is_new=existing is None)

    async def fail(self, refund: Refund, error: ApplicationError) -> None:
        """Record that Stripe refused a refund."""
        async with self._sessions.begin() as session:
            row = await session.merge(refund)
            row.refund_status = RefundStatus.FAILED
            row.failure_code = error.details.get("stripe_code") or error.error_code

    async def made(self, refund_input: RefundInput) -> RefundOutcome:
        """Return a refund that Stripe has made, with the state of its payment."""
        async with self._sessions() as session:
            payment = await session.get_one(Payment, refund_input.payment_id)
            refund = await session.get_one(Refund, refund_input.refund_id)
        if refund.stripe_refund_id is None:
            raise LookupError("Stripe does not list a refund that it made")
        result = RefundResult(
            refund_id=refund.refund_id,
            payment_id=refund.payment_id,
            amount_cents=refund.amount_cents,
            currency_code=refund.currency_code,
            refund_status=RefundStatus(refund.refund_status),
            stripe_refund_id=refund.stripe_refund_id,
        )
        return RefundOutcome(refund=result, state=state_of(payment))

    async def refusal_error(self, refund_input: RefundInput) -> ApplicationError:
        """Return our own reason for a refusal if there is one by now, or else Stripe's."""
        async with self._sessions() as session:
            payment = await session.get_one(Payment, refund_input.payment_id)
            refund = await session.get_one(Refund, refund_input.refund_id)
            pending = await RefundRepository(session).pending_cents(refund_input.payment_id)
        try:
            _allowed(refund_input, payment, pending)
        except ApplicationError as our_error:
            return our_error
        details = {"stripe_code": refund.failure_code}
        return ProviderRejectedError("Stripe refused the refund", details=details)


def _allowed(refund_input: RefundInput, payment: Payment, pending_cents: int) -> int:
    """Return the amount to refund, or raise an error if it is not refundable."""
    status = PaymentStatus(payment.payment_status)
    if (reason := refusal(status, PaymentCommandKind.REFUND)) is not None:
        raise IllegalCommandError(reason, details={"payment_status": status})
    refundable = refundable_cents(payment.amount_cents, payment.refunded_cents, pending_cents)
    amount = refundable if refund_input.amount_cents is None else refund_input.amount_cents
    if not 0 < amount <= refundable:
        raise InvalidInputError(
            "the amount is more than what is left to refund",
            "refund_exceeds_payment",
            {"refundable_cents": refundable},
        )
    if refund_input.amount_cents is not None:
        check_step(amount, payment.currency_code)
    return amount
