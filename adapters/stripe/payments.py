"""One-off payments and refunds at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import our_errors
from domain.payments import PaymentRequest, RefundOrder
from domain.seen import IntentSeen, RefundSeen

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams

MADE_BY_HAND = "made at Stripe"
_STRIPE_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_LIMIT = 100


class StripePayments:
    """What the activities need of payment intents and refunds, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def pay(
        self,
        payment_id: UUID,
        stripe_customer_id: str,
        request: PaymentRequest,
        key: str,
    ) -> str:
        """Charge a card once.

        Args:
            payment_id: Ours; it travels in the metadata.
            stripe_customer_id: Who pays.
            request: What to pay.
            key: Idempotency key.

        Returns:
            The intent's id; it tells how the charge ended. A declined card is no error.

        Raises:
            ApplicationError: See `our_errors`.
        """
        params: PaymentIntentCreateParams = {
            "amount": request.amount_cents,
            "currency": request.currency_code,
            "customer": stripe_customer_id,
            "payment_method": request.stripe_payment_method_id,
            "allowed_payment_method_types": ["card"],
            "confirm": True,
            "return_url": request.return_url,
            "metadata": {"payment_id": str(payment_id)},
        }
        if request.description:
            params["description"] = request.description
        with our_errors():
            try:
                made = await self._client.v1.payment_intents.create_async(
                    params,
                    {"idempotency_key": key},
                )
            except stripe.CardError as error:
                declined = error.error.payment_intent if error.error else None
                if declined is None:
                    raise
                return declined.id
        return made.id

    async def find(self, payment_id: UUID, stripe_customer_id: str) -> str | None:
        """Look for an intent that an earlier, unanswered call may have made."""
        with our_errors():
            page = await self._client.v1.payment_intents.list_async(
                {"customer": stripe_customer_id, "limit": _LIMIT},
            )
            async for found in page.auto_paging_iter():
                if _ours(found.metadata, "payment_id") == payment_id:
                    return found.id
        return None

    async def read(self, stripe_payment_intent_id: str) -> IntentSeen:
        """Return an intent with its refunds.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            found = await self._client.v1.payment_intents.retrieve_async(stripe_payment_intent_id)
        is_paid = found.status == "succeeded"
        refunds = await self.refunds(stripe_payment_intent_id) if is_paid else ()
        return _intent_seen(found, refunds)

    async def cancel(self, stripe_payment_intent_id: str, is_expired: bool, key: str) -> None:
        """Call an intent off.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            await self._client.v1.payment_intents.cancel_async(
                stripe_payment_intent_id,
                {"cancellation_reason": "abandoned" if is_expired else "requested_by_customer"},
                {"idempotency_key": key},
            )

    async def refund(
        self,
        stripe_payment_intent_id: str,
        order: RefundOrder,
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
            ApplicationError: See `our_errors`.
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
        with our_errors():
            await self._client.v1.refunds.create_async(params, {"idempotency_key": key})

    async def refunds(self, stripe_payment_intent_id: str) -> tuple[RefundSeen, ...]:
        """Return a payment's refunds, newest first."""
        with our_errors():
            page = await self._client.v1.refunds.list_async(
                {"payment_intent": stripe_payment_intent_id, "limit": _LIMIT},
            )
            return tuple([_refund_seen(found) async for found in page.auto_paging_iter()])


def _intent_seen(found: stripe.PaymentIntent, refunds: tuple[RefundSeen, ...]) -> IntentSeen:
    failure, action = found.last_payment_error, found.next_action
    redirect = action.redirect_to_url if action else None
    return IntentSeen(
        stripe_payment_intent_id=found.id,
        intent_status=found.status,
        amount_cents=found.amount,
        decline_code=(failure.decline_code or failure.code or failure.type) if failure else None,
        next_action_url=redirect.url if redirect else None,
        refunds=refunds,
    )


def _refund_seen(found: stripe.Refund) -> RefundSeen:
    return RefundSeen(
        stripe_refund_id=found.id,
        refund_id=_ours(found.metadata, "refund_id"),
        amount_cents=found.amount,
        refund_status=found.status or "pending",
        reason=found.reason or MADE_BY_HAND,
        # Reason: Stripe leaves it out, and the SDK has no default, unless the refund has failed.
        failure_code=getattr(found, "failure_reason", None),
    )


def _ours(metadata: stripe.StripeObject | None, name: str) -> UUID | None:
    value = metadata.to_dict().get(name) if metadata else None
    try:
        return UUID(value) if value else None
    except ValueError:  # anybody with a Dashboard can edit it
        return None
