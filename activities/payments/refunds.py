"""Refunds payments exactly once and never too much, whatever fails in between.

A refund is reserved in our database, under the payment's lock, before Stripe is called. If the
result of an earlier call for the same refund was lost, Stripe's refunds are read first.
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
    """The activity that makes refunds."""

    def __init__(self, sync: PaymentSync, reservations: RefundReservations) -> None:
        self._sync = sync
        self._reservations = reservations

    @activity.defn
    async def refund_payment(self, refund_input: RefundInput) -> RefundOutcome:
        """Refund a payment once per refund id, however often the activity is retried.

        Args:
            refund_input: The payment, the amount and the reason.

        Returns:
            The refund, made now or by an earlier call, and its payment.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status allows no refund.
            InvalidInputError: The amount exceeds what is left (`refund_exceeds_payment`).
            ProviderRejectedError: Stripe refused.
            ApplicationError: The outcome is not known yet; call again.
        """
        reservation = await self._reservations.reserve(refund_input)
        if reservation.refund.stripe_refund_id is not None:
            return await self._reservations.made(refund_input)
        if reservation.refund.refund_status == RefundStatus.FAILED:
            raise await self._reservations.refusal_error(refund_input)
        intent_id = reservation.stripe_payment_intent_id
        if reservation.is_new or not await self._is_made(refund_input, intent_id):
            try:
                await finish(self._send(refund_input, reservation), is_last=True)
            except (ProviderRejectedError, NotFoundError) as error:
                log.warning("refund_rejected", **error.details)
                # Reason: Stripe also refuses the amount as too high if this refund exists already.
                if not await self._is_made(refund_input, intent_id):
                    await self._reservations.fail(reservation.refund, error)
                    await self._sync.sync(refund_input.payment_id, intent_id)
                    raise await self._reservations.refusal_error(refund_input) from error
        await self._sync.sync(refund_input.payment_id, intent_id)
        return await self._reservations.made(refund_input)

    async def _send(self, refund_input: RefundInput, reservation: RefundReservation) -> None:
        intent_id, amount_cents = (
            reservation.stripe_payment_intent_id,
            reservation.refund.amount_cents,
        )

        async def post(key: str) -> bool:
            await self._sync.refunds.create(intent_id, refund_input, amount_cents, key)
            return True

        async def find() -> bool | None:
            return await self._is_made(refund_input, intent_id) or None

        await post_once(f"refund-{refund_input.refund_id}", post, find)

    async def _is_made(self, refund_input: RefundInput, stripe_payment_intent_id: str) -> bool:
        refunds = await self._sync.refunds.list(stripe_payment_intent_id)
        return any(refund.refund_id == refund_input.refund_id for refund in refunds)
