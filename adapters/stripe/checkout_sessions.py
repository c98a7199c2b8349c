"""Checkout sessions at Stripe: pages on which a customer subscribes."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, required, to_datetime
from domain.subscriptions.checkouts import CheckoutSnapshot, WayBack
from domain.subscriptions.messages import SubscriptionRequest

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

PAGE_SIZE = 100


class StripeCheckoutSessions:
    """Creates, reads and expires Checkout sessions at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        subscription_id: UUID,
        stripe_customer_id: str,
        request: SubscriptionRequest,
        way_back: WayBack,
        key: str,
    ) -> CheckoutSnapshot:
        """Create a page on which a customer subscribes.

        Args:
            subscription_id: Our id of the subscription, which is stored in its metadata.
            stripe_customer_id: Customer who pays.
            request: What is sold.
            way_back: Where the page leads to.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            made = await self._client.v1.checkout.sessions.create_async(
                _creation(subscription_id, stripe_customer_id, request, way_back),
                {"idempotency_key": key},
            )
        return _snapshot(made)

    async def find(self, subscription_id: UUID, stripe_customer_id: str) -> CheckoutSnapshot | None:
        """Return the session that an earlier, unanswered call has created, or None."""
        with translate_stripe_errors():
            page = await self._client.v1.checkout.sessions.list_async(
                {"customer": stripe_customer_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "subscription_id") == subscription_id:
                    return _snapshot(found)
        return None

    async def read(self, stripe_checkout_session_id: str) -> CheckoutSnapshot:
        """Return a session as it is now."""
        with translate_stripe_errors():
            found = await self._client.v1.checkout.sessions.retrieve_async(
                stripe_checkout_session_id
            )
        return _snapshot(found)

    async def expire(self, stripe_checkout_session_id: str, key: str) -> CheckoutSnapshot:
        """Expire an open session, so that nobody can pay on its page any more.

        Raises:
            ProviderRejectedError: The session is not open.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.checkout.sessions.expire_async(
                stripe_checkout_session_id,
                {},
                {"idempotency_key": key},
            )
        return _snapshot(found)


def _creation(
    subscription_id: UUID,
    stripe_customer_id: str,
    request: SubscriptionRequest,
    way_back: WayBack,
) -> "SessionCreateParams":
    # Reason: Stripe copies the metadata of `subscription_data` to the subscription, which becomes
    # the one that we have named.
    named = {"subscription_id": str(subscription_id)}
    metered: list[SessionCreateParamsLineItem] = [
        {"price": price_id} for price_id in request.metered_price_ids
    ]
    params: SessionCreateParams = {
        "mode": "subscription",
        "customer": stripe_customer_id,
        "line_items": [
            {"price": request.stripe_price_id, "quantity": request.quantity},
            *metered,
        ],
        "success_url": way_back.success_url,
        "cancel_url": way_back.cancel_url,
        "metadata": named,
        "subscription_data": {"metadata": named, "billing_mode": {"type": "flexible"}},
    }
    if request.trial_days:
        params["subscription_data"]["trial_period_days"] = request.trial_days
        params["subscription_data"]["trial_settings"] = {
            "end_behavior": {"missing_payment_method": "pause"}
        }
    return params


def _snapshot(found: stripe.checkout.Session) -> CheckoutSnapshot:
    return CheckoutSnapshot(
        stripe_checkout_session_id=required(found, "id"),
        checkout_status=field(found, "status") or "expired",
        url=field(found, "url"),
        expires_at=to_datetime(field(found, "expires_at")),
    )
