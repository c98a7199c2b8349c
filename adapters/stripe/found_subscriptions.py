"""Subscriptions at Stripe whose owner is not known yet, and the account that they belong to."""

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import metadata_id, object_id, required
from adapters.stripe.snapshots import subscription_snapshot
from domain.errors import NotFoundError
from domain.subscriptions.adoption.decisions import FoundSubscription


class StripeFoundSubscriptions:
    """Reads subscriptions with what tells their owner."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client
        self._account_id: str | None = None

    async def account_id(self) -> str:
        """Return Stripe's id of the account; it is read once, because a key has one account.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        if self._account_id is None:
            with translate_stripe_errors():
                account = await self._client.v1.accounts.retrieve_current_async()
            self._account_id = str(required(account, "id"))
        return self._account_id

    async def read(self, stripe_subscription_id: str) -> FoundSubscription | None:
        """Return a subscription with its customer's metadata; None if Stripe does not know it.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        try:
            with translate_stripe_errors():
                found = await self._client.v1.subscriptions.retrieve_async(
                    stripe_subscription_id,
                    {"expand": ["customer"]},
                )
        except NotFoundError:
            return None
        return found_subscription(found)


def found_subscription(found: stripe.Subscription) -> FoundSubscription:
    """Return what tells the owner of a subscription; without expansion its customer is unnamed.

    Raises:
        UnreadableAnswerError: The subscription has no id, no customer, or no known status.
    """
    snapshot = subscription_snapshot(found)
    customer = required(found, "customer")
    return FoundSubscription(
        stripe_subscription_id=snapshot.stripe_subscription_id,
        stripe_customer_id=object_id(customer) or "",
        subscription_status=snapshot.subscription_status,
        quantity=snapshot.quantity,
        stripe_price_id=snapshot.stripe_price_id,
        stripe_product_id=snapshot.stripe_product_id,
        named_subscription_id=metadata_id(found, "subscription_id"),
        named_user_id=metadata_id(customer, "user_id"),
    )
