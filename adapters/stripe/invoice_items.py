"""Invoice items at Stripe: what waits for an invoice of a subscription, or was on one."""

from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_of, object_id, required, required_time
from domain.errors import NotFoundError
from domain.subscriptions.snapshots import InvoiceItemSnapshot

PAGE_SIZE = 100
# Keys in the metadata of an item that was given back: what it stands for, and where that was.
REPLACES, VOIDED_INVOICE = "replaces_invoice_item", "voided_invoice"


class StripeInvoiceItems:
    """Reads, creates and deletes invoice items."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def of_invoice(self, stripe_invoice_id: str) -> list[InvoiceItemSnapshot]:
        """Return the items that an invoice has billed."""
        return [_snapshot(found) for found in await self._list(invoice=stripe_invoice_id)]

    async def waiting(
        self, stripe_customer_id: str, stripe_subscription_id: str
    ) -> list[InvoiceItemSnapshot]:
        """Return the items that wait for an invoice of a subscription, oldest first."""
        found = await self._list(customer=stripe_customer_id, pending=True)
        name = "parent.subscription_details.subscription"
        own = [item for item in found if object_id(field(item, name)) == stripe_subscription_id]
        return [_snapshot(item) for item in reversed(own)]

    async def find_replacement(self, item: InvoiceItemSnapshot) -> bool:
        """Tell whether an item was given back, whatever has become of that since."""
        found = await self._list(customer=item.stripe_customer_id)
        item_id = item.stripe_invoice_item_id
        return any(field(each, f"metadata.{REPLACES}") == item_id for each in found)

    async def replace(
        self,
        item: InvoiceItemSnapshot,
        stripe_subscription_id: str,
        voided_invoice_id: str,
        key: str,
    ) -> None:
        """Let an item of a void invoice wait again, for the next invoice of its subscription."""
        marks = {REPLACES: item.stripe_invoice_item_id, VOIDED_INVOICE: voided_invoice_id}
        params: Any = {
            "customer": item.stripe_customer_id,
            "subscription": stripe_subscription_id,
            "amount": item.amount_cents,
            "currency": item.currency_code,
            "discountable": item.is_discountable,
            "metadata": {**item.metadata, **marks},
            "period": {
                "start": int(item.period_start.timestamp()),
                "end": int(item.period_end.timestamp()),
            },
        }
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
        amount_cents=required(found, "amount"),
        currency_code=required(found, "currency"),
        description=field(found, "description"),
        is_discountable=bool(discountable),
        period_start=required_time(found, "period.start"),
        period_end=required_time(found, "period.end"),
        metadata=metadata_of(found),
    )
