"""Invoice items at Stripe: what waits for an invoice of a subscription, or was on one."""

from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_of, object_id, required, required_time
from domain.errors import NotFoundError
from domain.subscriptions.snapshots import InvoiceItemSnapshot

PAGE_SIZE = 100
SUBSCRIPTION = "parent.subscription_details.subscription"
# Keys in the metadata of an item that was given back: what it stands for, and where that was.
REPLACES, VOIDED_INVOICE = "replaces_invoice_item", "voided_invoice"
# Mark in the metadata of an item that was given back, and credits unused time.
UNUSED_TIME = "unused_time"


class StripeInvoiceItems:
    """Reads, creates and deletes invoice items."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def of_invoice(self, stripe_invoice_id: str) -> list[InvoiceItemSnapshot]:
        """Return the items that an invoice has billed."""
        return [_snapshot(found) for found in await self._list(invoice=stripe_invoice_id)]

    async def waited_for(self, stripe_invoice_id: str) -> list[InvoiceItemSnapshot]:
        """Return the items that an invoice has billed and that are older than it."""
        with translate_stripe_errors():
            invoice = await self._client.v1.invoices.retrieve_async(stripe_invoice_id)
        invoiced_at = required_time(invoice, "created")
        items = await self.of_invoice(stripe_invoice_id)
        return [item for item in items if item.created_at < invoiced_at]

    async def waiting(
        self, stripe_customer_id: str, stripe_subscription_id: str
    ) -> list[InvoiceItemSnapshot]:
        """Return the items that wait for an invoice of a subscription, oldest first."""
        found = await self._list(customer=stripe_customer_id, pending=True)
        items = [_snapshot(item) for item in reversed(found)]
        return [item for item in items if item.stripe_subscription_id == stripe_subscription_id]

    async def find_replacement(self, item: InvoiceItemSnapshot) -> bool:
        """Tell whether an item was given back, whatever has become of that since."""
        found = await self._list(customer=item.stripe_customer_id)
        item_id = item.stripe_invoice_item_id
        return any(field(each, f"metadata.{REPLACES}") == item_id for each in found)

    async def replace(
        self,
        item: InvoiceItemSnapshot,
        voided_invoice_id: str,
        key: str,
    ) -> None:
        """Let an item of a void invoice wait again, for the next invoice."""
        marks = {REPLACES: item.stripe_invoice_item_id, VOIDED_INVOICE: voided_invoice_id}
        # Reason: Stripe lets nobody create prorations.
        unused = {UNUSED_TIME: "true"} if item.is_proration else {}
        params: Any = {
            "customer": item.stripe_customer_id,
            "amount": item.amount_cents,
            "currency": item.currency_code,
            "discountable": item.is_discountable,
            "metadata": {**item.metadata, **marks, **unused},
            "period": {
                "start": int(item.period_start.timestamp()),
                "end": int(item.period_end.timestamp()),
            },
        }
        if item.stripe_subscription_id is not None:
            params["subscription"] = item.stripe_subscription_id
        if item.description is not None:
            params["description"] = item.description
        with translate_stripe_errors():
            await self._client.v1.invoice_items.create_async(params, {"idempotency_key": key})

    async def delete(self, stripe_invoice_item_id: str) -> None:
        """Delete an item that waits; one that is gone counts as deleted."""
        try:
            with translate_stripe_errors():
                await self._client.v1.invoice_items.delete_async(stripe_invoice_item_id)
        except NotFoundError:
            return

    async def _list(self, **filters: Any) -> list[stripe.InvoiceItem]:
        params: Any = {**filters, "limit": PAGE_SIZE}
        with translate_stripe_errors():
            page = await self._client.v1.invoice_items.list_async(params)
            return [found async for found in page.auto_paging_iter()]


def _snapshot(found: stripe.InvoiceItem) -> InvoiceItemSnapshot:
    discountable = field(found, "discountable")
    return InvoiceItemSnapshot(
        stripe_invoice_item_id=required(found, "id"),
        stripe_customer_id=object_id(required(found, "customer")) or "",
        stripe_subscription_id=object_id(field(found, SUBSCRIPTION)),
        created_at=required_time(found, "date"),
        amount_cents=required(found, "amount"),
        currency_code=required(found, "currency"),
        description=field(found, "description"),
        is_discountable=bool(discountable),
        is_proration=bool(field(found, "proration")),
        period_start=required_time(found, "period.start"),
        period_end=required_time(found, "period.end"),
        metadata=metadata_of(found),
    )
