"""Subscriptions at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import our_errors
from adapters.stripe.seen import invoice_seen, subscription_seen
from domain.billing import SubscriptionRequest
from domain.seen import SubscriptionSeen

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams

INVOICE_COUNT = 12


class StripeSubscriptions:
    """What the activities need of Stripe's subscriptions, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        subscription_id: UUID,
        stripe_customer_id: str,
        request: SubscriptionRequest,
        has_card: bool,
        key: str,
    ) -> str:
        """Create a subscription and charge its first invoice, if there is a card.

        Args:
            subscription_id: Ours; it travels in the metadata, also to the invoices.
            stripe_customer_id: Who pays.
            request: What to create.
            has_card: Whether there is a card to charge at once.
            key: Idempotency key.

        Returns:
            Stripe's id. A declined card leaves the subscription incomplete; it is no error.

        Raises:
            ApplicationError: See `our_errors`.
        """
        params = _creation(subscription_id, stripe_customer_id, request, has_card)
        with our_errors():
            made = await self._client.v1.subscriptions.create_async(
                params,
                {"idempotency_key": key},
            )
        return made.id

    async def find(self, subscription_id: UUID, stripe_customer_id: str) -> str | None:
        """Look for a subscription that an earlier, unanswered call may have made."""
        with our_errors():
            page = await self._client.v1.subscriptions.list_async(
                {"customer": stripe_customer_id, "status": "all", "limit": 100},
            )
            async for found in page.auto_paging_iter():
                if found.metadata.to_dict().get("subscription_id") == str(subscription_id):
                    return found.id
        return None

    async def read(self, stripe_subscription_id: str) -> SubscriptionSeen:
        """Return a subscription with its recent invoices.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
            invoices = await self._client.v1.invoices.list_async(
                {
                    "subscription": stripe_subscription_id,
                    "limit": INVOICE_COUNT,
                    "expand": ["data.payments"],
                },
            )
        return subscription_seen(found, [invoice_seen(invoice) for invoice in invoices.data])

    async def cancel(self, stripe_subscription_id: str, key: str) -> None:
        """Cancel at once; one that is canceled already is success."""
        with our_errors():
            try:
                await self._client.v1.subscriptions.cancel_async(
                    stripe_subscription_id,
                    {"invoice_now": False, "prorate": False},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":  # what Stripe says of a canceled one
                    raise

    async def pause(self, stripe_subscription_id: str, key: str) -> None:
        """Pause until somebody resumes."""
        with our_errors():
            await self._client.v1.subscriptions.pause_async(
                stripe_subscription_id,
                {},
                {"idempotency_key": key},
            )

    async def use_card(
        self,
        stripe_subscription_id: str,
        stripe_payment_method_id: str,
        key: str,
    ) -> None:
        """Make a card the subscription's own."""
        with our_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"default_payment_method": stripe_payment_method_id},
                {"idempotency_key": key},
            )


def _creation(
    subscription_id: UUID,
    stripe_customer_id: str,
    request: SubscriptionRequest,
    has_card: bool,
) -> "SubscriptionCreateParams":
    params: SubscriptionCreateParams = {
        "customer": stripe_customer_id,
        "items": [{"price": request.stripe_price_id, "quantity": request.quantity}],
        # Reason: Stripe refuses to charge where there is no card; this waits for one.
        "payment_behavior": "allow_incomplete" if has_card else "default_incomplete",
        "billing_mode": {"type": "flexible"},
        "metadata": {"subscription_id": str(subscription_id)},
    }
    if has_card:
        params["off_session"] = True
    if request.stripe_payment_method_id:
        params["default_payment_method"] = request.stripe_payment_method_id
    if request.trial_days:
        params["trial_period_days"] = request.trial_days
        params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
    return params
