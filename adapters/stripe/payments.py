"""One-off payments at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import metadata_id, our_errors
from domain.payments import PaymentRequest
from domain.seen import IntentSeen

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

_LIMIT = 100


class StripePayments:
    """What the activities need of payment intents, and no more."""

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
                if metadata_id(found.metadata, "payment_id") == payment_id:
                    return found.id
        return None

    async def read(self, stripe_payment_intent_id: str) -> IntentSeen:
        """Return an intent.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            found = await self._client.v1.payment_intents.retrieve_async(stripe_payment_intent_id)
        return _intent_seen(found)

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


def _intent_seen(found: stripe.PaymentIntent) -> IntentSeen:
    failure, action = found.last_payment_error, found.next_action
    redirect = action.redirect_to_url if action else None
    return IntentSeen(
        stripe_payment_intent_id=found.id,
        intent_status=found.status,
        amount_cents=found.amount,
        decline_code=(failure.decline_code or failure.code or failure.type) if failure else None,
        next_action_url=redirect.url if redirect else None,
    )
