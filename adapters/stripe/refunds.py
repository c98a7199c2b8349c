"""Refunds at Stripe."""

from typing import TYPE_CHECKING

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, required
from domain.payments.messages import RefundInput
from domain.payments.snapshots import RefundSnapshot

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

CREATED_AT_STRIPE = "made at Stripe"
_STRIPE_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_LIMIT = 100


class StripeRefunds:
    """Creates and lists refunds at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        stripe_payment_intent_id: str,
        refund_input: RefundInput,
        amount_cents: int,
        key: str,
    ) -> None:
        """Refund a payment.

        Args:
            stripe_payment_intent_id: Payment intent to refund.
            refund_input: Requested refund, whose ids are stored in the metadata.
            amount_cents: Amount to refund.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        metadata = {
            "refund_id": str(refund_input.refund_id),
            "payment_id": str(refund_input.payment_id),
        }
        if refund_input.requested_by is not None:
            metadata["requested_by"] = str(refund_input.requested_by)
        params: RefundCreateParams = {
            "payment_intent": stripe_payment_intent_id,
            "amount": amount_cents,
            "metadata": metadata,
        }
        for reason in _STRIPE_REASONS:
            if refund_input.reason == reason:
                params["reason"] = reason
        with translate_stripe_errors():
            await self._client.v1.refunds.create_async(params, {"idempotency_key": key})

    async def list(self, stripe_payment_intent_id: str) -> tuple[RefundSnapshot, ...]:
        """Return the refunds of a payment, newest first."""
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
        reason=field(found, "reason") or CREATED_AT_STRIPE,
        failure_code=field(found, "failure_reason"),
    )
