"""Subscriptions at Stripe."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.previews import wish_of
from adapters.stripe.reading import field, metadata_id, object_id, required
from adapters.stripe.snapshots import subscription_snapshot
from adapters.stripe.subscription_invoices import SubscriptionInvoices
from adapters.stripe.terms import TERMS
from domain.errors import NotFoundError
from domain.subscriptions.lifecycle import FINAL
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.snapshots import StoredInvoices, SubscriptionSnapshot

if TYPE_CHECKING:
    from stripe.params import (
        SubscriptionCreateParams,
        SubscriptionCreateParamsItem,
        SubscriptionPauseParams,
        SubscriptionRetrieveParams,
    )

PAGE_SIZE = 100
_WITH_TERMS: "SubscriptionRetrieveParams" = {"expand": TERMS}


class StripeSubscriptions:
    """Creates, reads and changes subscriptions at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client
        self._invoices = SubscriptionInvoices(client)

    async def create(
        self,
        subscription_id: UUID,
        stripe_customer_id: str,
        request: SubscriptionRequest,
        key: str,
    ) -> str:
        """Create a subscription and charge its first invoice, if there is a card.

        Args:
            subscription_id: Our id of the subscription, which is stored in the metadata of the
                subscription and of its invoices.
            stripe_customer_id: Customer who pays.
            request: Subscription to create.
            key: Idempotency key.

        Returns:
            Stripe's id. A declined card leaves the subscription incomplete, and is not an error.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        params = _creation(subscription_id, stripe_customer_id, request)
        with translate_stripe_errors():
            made = await self._client.v1.subscriptions.create_async(
                params,
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def find(self, subscription_id: UUID, stripe_customer_id: str) -> str | None:
        """Return the subscription that an earlier, unanswered call has created, or None."""
        with translate_stripe_errors():
            page = await self._client.v1.subscriptions.list_async(
                {"customer": stripe_customer_id, "status": "all", "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "subscription_id") == subscription_id:
                    return str(required(found, "id"))
        return None

    async def read(
        self, stripe_subscription_id: str, known: StoredInvoices
    ) -> SubscriptionSnapshot:
        """Return a subscription with all invoices that may have changed since the last sync.

        Args:
            stripe_subscription_id: Subscription to read.
            known: Invoices that the last sync has stored.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(
                stripe_subscription_id, _WITH_TERMS
            )
        invoices, deleted = await self._invoices.read(stripe_subscription_id, known)
        return subscription_snapshot(found, invoices, deleted)

    async def status(self, stripe_subscription_id: str) -> SubscriptionSnapshot:
        """Return a subscription without its invoices.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(
                stripe_subscription_id, _WITH_TERMS
            )
        return subscription_snapshot(found)

    async def default_card(self, stripe_subscription_id: str) -> str | None:
        """Return the subscription's own payment method, if it has one."""
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
        return object_id(field(found, "default_payment_method"))

    async def cancel(self, stripe_subscription_id: str) -> None:
        """Cancel a subscription at once; a canceled subscription counts as success.

        A DELETE request needs no idempotency key, since it can be repeated.

        Raises:
            NotFoundError: Stripe does not know the subscription, or answers 404 before its end.
            ApplicationError: See `translate_stripe_errors`.
        """
        try:
            with translate_stripe_errors():
                await self._client.v1.subscriptions.cancel_async(
                    stripe_subscription_id,
                    {"invoice_now": False, "prorate": False},
                )
        except NotFoundError:
            # Reason: Stripe answers 404 for a canceled subscription, and to keys of other accounts.
            snapshot = await self.status(stripe_subscription_id)
            if snapshot.subscription_status not in FINAL:
                raise

    async def pause(
        self, stripe_subscription_id: str, key: str, *, is_period_paid: bool = True
    ) -> None:
        """Pause a subscription until it is resumed.

        Args:
            stripe_subscription_id: Subscription to pause.
            key: Idempotency key.
            is_period_paid: Whether the present period was paid; else its rest is no credit.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        unpaid: SubscriptionPauseParams = {"bill_for": {"unused_time_from": {"type": "none"}}}
        with translate_stripe_errors():
            await self._client.v1.subscriptions.pause_async(
                stripe_subscription_id,
                {} if is_period_paid else unpaid,
                {"idempotency_key": key},
            )

    async def use_card(
        self,
        stripe_subscription_id: str,
        stripe_payment_method_id: str,
        key: str,
    ) -> None:
        """Make a card the subscription's own payment method."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"default_payment_method": stripe_payment_method_id},
                {"idempotency_key": key},
            )


def _creation(
    subscription_id: UUID,
    stripe_customer_id: str,
    request: SubscriptionRequest,
) -> "SubscriptionCreateParams":
    # Reason: Stripe refuses a quantity for an item that is billed by usage.
    metered: list[SubscriptionCreateParamsItem] = [
        {"price": price_id} for price_id in request.metered_price_ids
    ]
    params: SubscriptionCreateParams = {
        "customer": stripe_customer_id,
        "items": [
            {"price": request.stripe_price_id, "quantity": request.quantity},
            *metered,
        ],
        # Reason: Stripe refuses to charge without a card; `default_incomplete` waits for a card.
        "payment_behavior": "allow_incomplete" if request.has_card else "default_incomplete",
        "billing_mode": {"type": "flexible"},
        "metadata": {"subscription_id": str(subscription_id)},
    }
    if request.has_card:
        params["off_session"] = True
    if request.stripe_payment_method_id:
        params["default_payment_method"] = request.stripe_payment_method_id
    if request.discount is not None:
        wish: Any = wish_of(request.discount)
        params["discounts"] = [wish]
    if request.trial_days:
        params["trial_period_days"] = request.trial_days
        params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
    return params
