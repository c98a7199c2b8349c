"""Refunds at Stripe."""

from typing import TYPE_CHECKING

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, required
from domain.payments.messages import RefundInput
from domain.payments.snapshots import RefundSnapshot

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

MADE_BY_HAND = "made at Stripe"
_STRIPE_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_LIMIT = 100


class StripeRefunds:
    """What the product needs of refunds, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        stripe_payment_intent_id: str,
        order: RefundInput,
        amount_cents: int,
        key: str,
    ) -> None:
        """Pay back.

        Args:
            stripe_payment_intent_id: Which payment.
            order: Its ids travel in the metadata.
            amount_cents: How much.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        metadata = {"refund_id": str(order.refund_id), "payment_id": str(order.payment_id)}
        if order.requested_by is not None:
            metadata["requested_by"] = str(order.requested_by)
        params: RefundCreateParams = {
            "payment_intent": stripe_payment_intent_id,
            "amount": amount_cents,
            "metadata": metadata,
        }
        for reason in _STRIPE_REASONS:
            if order.reason == reason:
                params["reason"] = reason
        with translate_stripe_errors():
            await self._client.v1.refunds.create_async(params, {"idempotency_key": key})

    async def list(self, stripe_payment_intent_id: str) -> tuple[RefundSnapshot, ...]:
        """Return a payment's refunds, newest first."""
        with translate_stripe_errors():
            page = await self._client.v1.refunds.list_async(
                {"payment_intent": stripe_payment_intent_id, "limit": _LIMIT},
            )
            return tuple([_refund_snapshot(found) async for found in page.auto_paging_iter()])


def _refund_snapshot(found: stripe.Refund) -> RefundSnapshot:
    return RefundSnapshot(
        stripe_refund_id=required(found, "id"),
        refund_id=metadata_id(found, "refund_id"),
        amount_cents=field(found, "amount") or 0,
        refund_status=field(found, "status") or "pending",
        reason=field(found, "reason") or MADE_BY_HAND,
        failure_code=field(found, "failure_reason"),
    )
