"""Pay back once. Everything here exists so that no fault ever refunds twice, or too much.

A refund is reserved in our database, under the payment's lock, before Stripe is asked. If an
earlier call for the same refund got lost, Stripe's refunds are read before anything else.
"""

from typing import NamedTuple

import structlog
from temporalio import activity

from activities.payment_view import PaymentView, post_once, state_of
from database.models import Payment, Refund
from database.payments import PaymentRepository
from database.refunds import RefundRepository
from domain.errors import (
    ApplicationError,
    ConflictError,
    IllegalCommandError,
    InvalidInputError,
    NotFoundError,
    ProviderRejectedError,
)
from domain.payments import (
    PaymentCommandKind,
    PaymentStatus,
    Refunded,
    RefundOrder,
    RefundResult,
    RefundStatus,
    refundable_cents,
    refusal,
)

log = structlog.get_logger(__name__)


class _Reserved(NamedTuple):
    """A refund as it stands in our database before Stripe is asked."""

    refund: Refund
    stripe_payment_intent_id: str
    is_new: bool


class RefundActivities:
    """Refunds, each made once."""

    def __init__(self, view: PaymentView) -> None:
        self._view = view

    @activity.defn
    async def refund_payment(self, order: RefundOrder) -> Refunded:
        """Pay back once per refund id, however often this is tried.

        Args:
            order: Which payment, how much, why.

        Returns:
            The refund, made now or by an earlier call, and its payment.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status allows no refund.
            InvalidInputError: It is more than is left (`refund_exceeds_payment`).
            ProviderRejectedError: Stripe refused.
            ApplicationError: Not known yet; call again.
        """
        reserved = await self._reserve(order)
        refund = reserved.refund
        if refund.stripe_refund_id is not None:
            return await self._made(order)
        if refund.refund_status == RefundStatus.FAILED:
            raise await self._why_refused(order, refund)
        if reserved.is_new or not await self._is_made(order, reserved):
            try:
                await self._send(order, reserved)
            except (ProviderRejectedError, NotFoundError) as error:
                log.warning("refund_rejected", **error.details)
                # Reason: what is refused as too much may be too much because we have made it.
                if not await self._is_made(order, reserved):
                    await self._fail(order, reserved, error)
                    raise await self._why_refused(order, refund) from error
        await self._view.look(order.payment_id, reserved.stripe_payment_intent_id)
        return await self._made(order)

    async def _reserve(self, order: RefundOrder) -> _Reserved:
        async with self._view.sessions.begin() as session:
            payment = await PaymentRepository(session).lock(order.payment_id)
            refunds = RefundRepository(session)
            known = await refunds.get(order.refund_id)
            if payment is None:
                raise NotFoundError("there is no such payment")
            if known is not None and known.payment_id != payment.payment_id:
                raise ConflictError("this refund belongs to another payment")
            refund = known
            if refund is None:
                pending = await refunds.pending_cents(payment.payment_id)
                refund = await refunds.reserve(payment, order, _allowed(order, payment, pending))
            intent_id = payment.stripe_payment_intent_id or ""
            return _Reserved(refund, intent_id, is_new=known is None)

    async def _send(self, order: RefundOrder, reserved: _Reserved) -> None:
        intent_id, amount_cents = reserved.stripe_payment_intent_id, reserved.refund.amount_cents

        async def post(key: str) -> None:
            await self._view.payments.refund(intent_id, order, amount_cents, key)

        async def is_done() -> bool:
            return await self._is_made(order, reserved)

        await post_once(post, is_done, f"refund-{order.refund_id}")

    async def _is_made(self, order: RefundOrder, reserved: _Reserved) -> bool:
        seen = await self._view.payments.refunds(reserved.stripe_payment_intent_id)
        return any(each.refund_id == order.refund_id for each in seen)

    async def _made(self, order: RefundOrder) -> Refunded:
        async with self._view.sessions() as session:
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
        return Refunded(refund=result, state=state_of(payment))

    async def _fail(self, order: RefundOrder, reserved: _Reserved, why: ApplicationError) -> None:
        """Take note of a refusal, and find out what we did not know."""
        async with self._view.sessions.begin() as session:
            refund = await session.merge(reserved.refund)
            refund.refund_status = RefundStatus.FAILED
            refund.failure_code = why.details.get("stripe_code") or why.error_code
        await self._view.look(order.payment_id, reserved.stripe_payment_intent_id)

    async def _why_refused(self, order: RefundOrder, refund: Refund) -> ApplicationError:
        """Return our reason if, by what we know now, we would refuse too; else Stripe's."""
        async with self._view.sessions() as session:
            payment = await session.get_one(Payment, order.payment_id)
            pending = await RefundRepository(session).pending_cents(order.payment_id)
        try:
            _allowed(order, payment, pending)
        except ApplicationError as ours:
            return ours
        return ProviderRejectedError(
            "Stripe refused the refund",
            details={"stripe_code": refund.failure_code},
        )


def _allowed(order: RefundOrder, payment: Payment, pending_cents: int) -> int:
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
