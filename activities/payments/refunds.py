"""Pay back once. Everything here exists so that no fault ever refunds twice, or too much.

A refund is reserved in our database, under the payment's lock, before Stripe is asked. If an
earlier call for the same refund got lost, Stripe's refunds are read before anything else.
"""

import structlog
from temporalio import activity

from domain.errors import NotFoundError, ProviderRejectedError
from domain.payments.messages import RefundInput, RefundOutcome
from domain.payments.rules import RefundStatus
from services.payments.refund_reservations import RefundReservation, RefundReservations
from services.payments.stripe_sync import PaymentSync
from services.stripe_idempotency import finish, post_once

log = structlog.get_logger(__name__)


class RefundActivities:
    """Refunds, each made once."""

    def __init__(self, view: PaymentSync, book: RefundReservations) -> None:
        self._view = view
        self._book = book

    @activity.defn
    async def refund_payment(self, order: RefundInput) -> RefundOutcome:
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
        reserved = await self._book.reserve(order)
        if reserved.refund.stripe_refund_id is not None:
            return await self._book.made(order)
        if reserved.refund.refund_status == RefundStatus.FAILED:
            raise await self._book.why_refused(order)
        intent_id = reserved.stripe_payment_intent_id
        if reserved.is_new or not await self._is_made(order, intent_id):
            try:
                await finish(self._send(order, reserved), is_last=True)
            except (ProviderRejectedError, NotFoundError) as error:
                log.warning("refund_rejected", **error.details)
                # Reason: what is refused as too much may be too much because we have made it.
                if not await self._is_made(order, intent_id):
                    await self._book.fail(reserved.refund, error)
                    await self._view.look(order.payment_id, intent_id)
                    raise await self._book.why_refused(order) from error
        await self._view.look(order.payment_id, intent_id)
        return await self._book.made(order)

    async def _send(self, order: RefundInput, reserved: RefundReservation) -> None:
        intent_id, amount_cents = reserved.stripe_payment_intent_id, reserved.refund.amount_cents

        async def post(key: str) -> bool:
            await self._view.refunds.create(intent_id, order, amount_cents, key)
            return True

        async def find() -> bool | None:
            return await self._is_made(order, intent_id) or None

        await post_once(f"refund-{order.refund_id}", post, find)

    async def _is_made(self, order: RefundInput, stripe_payment_intent_id: str) -> bool:
        seen = await self._view.refunds.list(stripe_payment_intent_id)
        return any(each.refund_id == order.refund_id for each in seen)
