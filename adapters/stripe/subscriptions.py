"""Subscriptions at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, object_id, required
from adapters.stripe.seen import invoice_seen, is_period_line, shows_period, subscription_seen
from domain.billing import SubscriptionRequest
from domain.errors import NotFoundError
from domain.seen import InvoiceSeen, KnownInvoices, SubscriptionSeen

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams

# Reason: more than one period's invoices, and little to read again and again.
INVOICE_PAGE_SIZE = 12
PAGE_SIZE = 100


class StripeSubscriptions:
    """What the product needs of Stripe's subscriptions, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        subscription_id: UUID,
        stripe_customer_id: str,
        request: SubscriptionRequest,
        key: str,
    ) -> str:
        """Create a subscription and charge its first invoice, if there is a card.

        Args:
            subscription_id: Ours; it travels in the metadata, also to the invoices.
            stripe_customer_id: Who pays.
            request: What to create.
            key: Idempotency key.

        Returns:
            Stripe's id. A declined card leaves the subscription incomplete; it is no error.

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
        """Look for a subscription that an earlier, unanswered call may have made."""
        with translate_stripe_errors():
            page = await self._client.v1.subscriptions.list_async(
                {"customer": stripe_customer_id, "status": "all", "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "subscription_id") == subscription_id:
                    return str(required(found, "id"))
        return None

    async def read(self, stripe_subscription_id: str, known: KnownInvoices) -> SubscriptionSeen:
        """Return a subscription with all invoices that may have changed since we looked last.

        Args:
            stripe_subscription_id: Which.
            known: What we know of its invoices already.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
        invoices = await self._invoices(stripe_subscription_id, known)
        seen_ids = {invoice.stripe_invoice_id for invoice in invoices}
        deleted = []
        for stripe_invoice_id in sorted(known.unsettled - seen_ids):
            invoice = await self._invoice(stripe_invoice_id)
            if invoice is None:
                deleted.append(stripe_invoice_id)
            else:
                invoices.append(invoice)
        return subscription_seen(found, invoices, deleted)

    async def status(self, stripe_subscription_id: str) -> SubscriptionSeen:
        """Return a subscription without its invoices.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
        return subscription_seen(found)

    async def default_card(self, stripe_subscription_id: str) -> str | None:
        """Return the subscription's own payment method, if it has one."""
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
        return object_id(field(found, "default_payment_method"))

    async def cancel(self, stripe_subscription_id: str) -> None:
        """Cancel at once; one that is canceled already is success.

        A DELETE needs no idempotency key: it can be repeated.
        """
        try:
            with translate_stripe_errors():
                await self._client.v1.subscriptions.cancel_async(
                    stripe_subscription_id,
                    {"invoice_now": False, "prorate": False},
                )
        except NotFoundError:  # what Stripe says of a canceled one
            return

    async def pause(self, stripe_subscription_id: str, key: str) -> None:
        """Pause until somebody resumes."""
        with translate_stripe_errors():
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
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"default_payment_method": stripe_payment_method_id},
                {"idempotency_key": key},
            )

    async def _invoices(
        self,
        stripe_subscription_id: str,
        known: KnownInvoices,
    ) -> list[InvoiceSeen]:
        """Return invoices, newest first, down to one that cannot change any more."""
        invoices: list[InvoiceSeen] = []
        with translate_stripe_errors():
            page = await self._client.v1.invoices.list_async(
                {
                    "subscription": stripe_subscription_id,
                    "limit": INVOICE_PAGE_SIZE,
                    "expand": ["data.payments"],
                },
            )
            while True:
                invoices += [await self._seen(found) for found in required(page, "data")]
                # Reason: what is older than a settled one was read when that one was.
                is_enough = any(each.stripe_invoice_id in known.settled for each in invoices)
                if is_enough or not field(page, "has_more"):
                    return invoices
                page = await page.next_page_async()

    async def _invoice(self, stripe_invoice_id: str) -> InvoiceSeen | None:
        """Return one invoice; None if it was deleted, as drafts can be."""
        try:
            with translate_stripe_errors():
                found = await self._client.v1.invoices.retrieve_async(
                    stripe_invoice_id,
                    {"expand": ["payments"]},
                )
                return await self._seen(found)
        except NotFoundError:
            return None

    async def _seen(self, found: stripe.Invoice) -> InvoiceSeen:
        """Read one invoice, and more of its lines if the first ten do not tell its period."""
        if shows_period(found):
            return invoice_seen(found)
        page = await self._client.v1.invoices.line_items.list_async(
            required(found, "id"),
            {"limit": PAGE_SIZE},
        )
        async for line in page.auto_paging_iter():
            if is_period_line(line):
                return invoice_seen(found, [line])
        return invoice_seen(found)


def _creation(
    subscription_id: UUID,
    stripe_customer_id: str,
    request: SubscriptionRequest,
) -> "SubscriptionCreateParams":
    params: SubscriptionCreateParams = {
        "customer": stripe_customer_id,
        "items": [{"price": request.stripe_price_id, "quantity": request.quantity}],
        # Reason: Stripe refuses to charge where there is no card; this waits for one.
        "payment_behavior": "allow_incomplete" if request.has_card else "default_incomplete",
        "billing_mode": {"type": "flexible"},
        "metadata": {"subscription_id": str(subscription_id)},
    }
    if request.has_card:
        params["off_session"] = True
    if request.stripe_payment_method_id:
        params["default_payment_method"] = request.stripe_payment_method_id
    if request.trial_days:
        params["trial_period_days"] = request.trial_days
        params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
    return params
