"""Lets the items of a void invoice wait again; at Stripe they would be lost with it."""

from adapters.stripe.invoice_items import StripeInvoiceItems
from domain.subscriptions.snapshots import InvoiceItemSnapshot
from services.stripe_idempotency import post_once


async def give_back(
    items: StripeInvoiceItems, item: InvoiceItemSnapshot, voided_invoice_id: str, key: str
) -> None:
    """Let an item of a void invoice wait for the next invoice, once.

    Args:
        items: Invoice items at Stripe.
        item: The item.
        voided_invoice_id: Stripe's id of the void invoice.
        key: Prefix of the idempotency key, the same whenever this item is given back.

    Raises:
        ApplicationError: Stripe refused, or is down.
    """

    async def post(numbered_key: str) -> bool:
        await items.replace(item, voided_invoice_id, numbered_key)
        return True

    async def find() -> bool | None:
        return await items.find_replacement(item) or None

    await post_once(key, post, find, is_repeated=True)
