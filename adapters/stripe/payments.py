"""One-off payments at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.disputes import is_taken_back
from adapters.stripe.reading import code_of_failure, field, metadata_id, required
from domain.errors import CardDeclinedError
from domain.payments.messages import PaymentRequest
from domain.payments.snapshots import IntentSnapshot

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

PAGE_SIZE = 100


class StripePayments:
    """Creates, reads and cancels payment intents at Stripe."""

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
            payment_id: Our id of the payment, which is stored in the metadata.
            stripe_customer_id: Customer who pays.
            request: Payment to make.
            key: Idempotency key.

        Returns:
            Id of the payment intent, which shows how the charge ended. A declined card is not an
            error.

        Raises:
            CardDeclinedError: The card was declined, and Stripe kept no payment intent.
            ApplicationError: See `translate_stripe_errors`.
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
        try:
            with translate_stripe_errors():
                made = await self._client.v1.payment_intents.create_async(
                    params,
                    {"idempotency_key": key},
                )
        except CardDeclinedError as error:
            if (intent_id := error.details["stripe_payment_intent_id"]) is None:
                raise
            return str(intent_id)
        return str(required(made, "id"))

    async def find(self, payment_id: UUID, stripe_customer_id: str) -> str | None:
        """Return the intent that an earlier, unanswered call has created; None if there is none."""
        with translate_stripe_errors():
            page = await self._client.v1.payment_intents.list_async(
                {"customer": stripe_customer_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "payment_id") == payment_id:
                    return str(required(found, "id"))
        return None

    async def read(self, stripe_payment_intent_id: str) -> IntentSnapshot:
        """Return a payment intent.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.payment_intents.retrieve_async(
                stripe_payment_intent_id, {"expand": ["latest_charge"]}
            )
            is_disputed = await is_taken_back(self._client, found)
        return _intent_snapshot(found, is_disputed=is_disputed)

    async def cancel(self, stripe_payment_intent_id: str, is_expired: bool, key: str) -> None:
        """Cancel a payment intent.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            await self._client.v1.payment_intents.cancel_async(
                stripe_payment_intent_id,
                {"cancellation_reason": "abandoned" if is_expired else "requested_by_customer"},
                {"idempotency_key": key},
            )


def _intent_snapshot(found: stripe.PaymentIntent, *, is_disputed: bool) -> IntentSnapshot:
    failure = field(found, "last_payment_error")
    return IntentSnapshot(
        stripe_payment_intent_id=required(found, "id"),
        intent_status=required(found, "status"),
        amount_cents=field(found, "amount") or 0,
        decline_code=None if failure is None else code_of_failure(failure),
        next_action_url=field(found, "next_action.redirect_to_url.url"),
        is_disputed=is_disputed,
    )
