"""The balance of customers at Stripe, which their next invoices use up."""

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.invoice_items import VOIDED_INVOICE
from adapters.stripe.reading import field
from domain.subscriptions.snapshots import InvoiceItemSnapshot

PAGE_SIZE = 100
# Key in the metadata of a credit; its value is the first of the items that it stands for.
FIRST_ITEM = "invoice_item"


class StripeCustomerBalance:
    """Credits the balance of customers with what waited for an invoice."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def credit(self, item: InvoiceItemSnapshot, amount_cents: int, key: str) -> None:
        """Credit a customer's balance.

        Args:
            item: First of the items that are credited; customer and currency are its own.
            amount_cents: Credit in minor units, above zero.
            key: Idempotency key.
        """
        marks = {FIRST_ITEM: item.stripe_invoice_item_id}
        if VOIDED_INVOICE in item.metadata:
            marks[VOIDED_INVOICE] = item.metadata[VOIDED_INVOICE]
        with translate_stripe_errors():
            await self._client.v1.customers.balance_transactions.create_async(
                item.stripe_customer_id,
                {
                    "amount": -amount_cents,
                    "currency": item.currency_code,
                    "description": item.description or "Credit of a canceled subscription",
                    "metadata": marks,
                },
                {"idempotency_key": key},
            )

    async def is_credited(self, item: InvoiceItemSnapshot) -> bool:
        """Tell whether the balance was credited with an item, and those after it."""
        item_id = item.stripe_invoice_item_id
        return await self._has(item.stripe_customer_id, FIRST_ITEM, item_id)

    async def has_credit_of(self, stripe_customer_id: str, voided_invoice_id: str) -> bool:
        """Tell whether the balance was credited with what a void invoice has given back."""
        return await self._has(stripe_customer_id, VOIDED_INVOICE, voided_invoice_id)

    async def _has(self, stripe_customer_id: str, name: str, value: str) -> bool:
        with translate_stripe_errors():
            page = await self._client.v1.customers.balance_transactions.list_async(
                stripe_customer_id, {"limit": PAGE_SIZE}
            )
            async for found in page.auto_paging_iter():
                if field(found, f"metadata.{name}") == value:
                    return True
        return False
