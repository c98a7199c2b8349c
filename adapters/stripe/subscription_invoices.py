"""Reads the invoices of a subscription that may have changed."""

from collections.abc import Sequence

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, required
from adapters.stripe.snapshots import invoice_snapshot, is_period_line, shows_period
from domain.errors import NotFoundError
from domain.subscriptions.snapshots import InvoiceSnapshot, StoredInvoices

# Reason: a page holds more than one period's invoices, and is small enough for every sync.
INVOICE_PAGE_SIZE = 12
LINE_PAGE_SIZE = 100


class SubscriptionInvoices:
    """Reads new and changed invoices of a subscription."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def read(
        self,
        stripe_subscription_id: str,
        known: StoredInvoices,
    ) -> tuple[Sequence[InvoiceSnapshot], Sequence[str]]:
        """Return all invoices that may have changed since the last sync.

        Args:
            stripe_subscription_id: Subscription whose invoices are read.
            known: Invoices that the last sync has stored.

        Returns:
            Invoices, and the ids of known drafts that were deleted.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        invoices = await self._invoices(stripe_subscription_id, known)
        seen_ids = {invoice.stripe_invoice_id for invoice in invoices}
        deleted: list[str] = []
        for stripe_invoice_id in sorted(known.unsettled - seen_ids):
            invoice = await self._invoice(stripe_invoice_id)
            if invoice is None:
                deleted.append(stripe_invoice_id)
            else:
                invoices.append(invoice)
        return invoices, deleted

    async def _invoices(
        self,
        stripe_subscription_id: str,
        known: StoredInvoices,
    ) -> list[InvoiceSnapshot]:
        """Return invoices, newest first, at least to one that cannot change any more."""
        invoices: list[InvoiceSnapshot] = []
        with translate_stripe_errors():
            page = await self._client.v1.invoices.list_async(
                {
                    "subscription": stripe_subscription_id,
                    "limit": INVOICE_PAGE_SIZE,
                    "expand": ["data.payments"],
                },
            )
            while True:
                invoices += [await self._snapshot(found) for found in required(page, "data")]
                # Reason: invoices older than a settled one were read together with it.
                is_enough = any(each.stripe_invoice_id in known.settled for each in invoices)
                if is_enough or not field(page, "has_more"):
                    return invoices
                page = await page.next_page_async()

    async def _invoice(self, stripe_invoice_id: str) -> InvoiceSnapshot | None:
        """Return one invoice; None if it was a draft and was deleted."""
        try:
            with translate_stripe_errors():
                found = await self._client.v1.invoices.retrieve_async(
                    stripe_invoice_id,
                    {"expand": ["payments"]},
                )
                return await self._snapshot(found)
        except NotFoundError:
            return None

    async def _snapshot(self, found: stripe.Invoice) -> InvoiceSnapshot:
        """Return the snapshot of an invoice; read more lines if the first ten lack the period."""
        if shows_period(found):
            return invoice_snapshot(found)
        page = await self._client.v1.invoices.line_items.list_async(
            required(found, "id"),
            {"limit": LINE_PAGE_SIZE},
        )
        async for line in page.auto_paging_iter():
            if is_period_line(line):
                return invoice_snapshot(found, [line])
        return invoice_snapshot(found)
