"""What people do meanwhile: the customer, and whoever has Stripe's Dashboard."""

from collections.abc import Awaitable, Callable

from tests.campaign.life import Life
from tests.campaign.outside import Json

Action = Callable[[Life], Awaitable[None]]


async def _newest(life: Life) -> Json:
    return await life.invoice()


async def cancel(life: Life) -> None:
    """The customer cancels."""
    await life.cancel()


async def new_card(life: Life) -> None:
    """The customer gives another card that works."""
    await life.give_card("ok")


async def retry_now(life: Life) -> None:
    """The customer wants to be charged now."""
    for row in (await life.caller.items("payment-retries"))[:1]:
        await life.command("retry now", f"payment-retries/{row['payment_retry_id']}/retry-now")


async def pay_hosted(life: Life) -> None:
    """The customer pays on Stripe's page."""
    invoice = await _newest(life)
    if invoice["status"] == "open":
        life.told.hosted.append(invoice["id"])
        card = await life.outside.sandbox.card("ok")
        await life.outside.stripe.http.post(f"/i/{invoice['id']}", json={"payment_method": card})


async def _at_stripe(life: Life, name: str, method: str, path: str, **params: object) -> None:
    life.told.by_hand.append(name)
    await life.outside.stripe.call(method, path, **params)


async def void(life: Life) -> None:
    """Support voids the invoice."""
    await _at_stripe(life, "void", "POST", f"/invoices/{(await _newest(life))['id']}/void")


async def mark_uncollectible(life: Life) -> None:
    """Support marks the invoice uncollectible."""
    path = f"/invoices/{(await _newest(life))['id']}/mark_uncollectible"
    await _at_stripe(life, "mark uncollectible", "POST", path)


async def pay_out_of_band(life: Life) -> None:
    """Support notes that the invoice was paid by bank transfer."""
    path = f"/invoices/{(await _newest(life))['id']}/pay"
    await _at_stripe(life, "pay out of band", "POST", path, paid_out_of_band=True)


async def detach_card(life: Life) -> None:
    """Support detaches the customer's default card."""
    for customer in (await life.customer_ids())[:1]:
        found = await life.outside.stripe.get(f"/customers/{customer}")
        card = (found.get("invoice_settings") or {}).get("default_payment_method")
        if card:
            await _at_stripe(life, "detach card", "POST", f"/payment_methods/{card}/detach")


async def delete_customer(life: Life) -> None:
    """Support deletes the customer."""
    for customer in (await life.customer_ids())[:1]:
        await _at_stripe(life, "delete customer", "DELETE", f"/customers/{customer}")


async def change_quantity(life: Life) -> None:
    """Support changes the quantity."""
    found = await life.stripe_subscription()
    if found:
        item = found["items"]["data"][0]["id"]
        path = f"/subscriptions/{found['id']}"
        items = [{"id": item, "quantity": 2}]
        await _at_stripe(
            life, "change quantity", "POST", path, items=items, proration_behavior="none"
        )


async def change_price(life: Life) -> None:
    """Support moves the subscription to a price that is no plan here."""
    found = await life.stripe_subscription()
    if found:
        item = found["items"]["data"][0]
        price = await life.outside.stripe.post(
            "/prices",
            product=item["price"]["product"],
            currency="usd",
            unit_amount=3_100,
            recurring={"interval": "month"},
        )
        items = [{"id": item["id"], "price": price["id"]}]
        path = f"/subscriptions/{found['id']}"
        await _at_stripe(life, "change price", "POST", path, items=items, proration_behavior="none")


async def to_invoice_terms(life: Life) -> None:
    """Support puts the customer on invoice terms."""
    found = await life.stripe_subscription()
    if found:
        await _at_stripe(
            life, "invoice terms", "POST", f"/subscriptions/{found['id']}",
            collection_method="send_invoice", days_until_due=30,
        )  # fmt: skip


async def cancel_at_stripe(life: Life) -> None:
    """Support cancels in the Dashboard."""
    found = await life.stripe_subscription()
    if found:
        await _at_stripe(life, "cancel at Stripe", "DELETE", f"/subscriptions/{found['id']}")


async def cancel_at_end(life: Life) -> None:
    """Support has the subscription end with its period."""
    found = await life.stripe_subscription()
    if found:
        await _at_stripe(
            life, "cancel at end", "POST", f"/subscriptions/{found['id']}",
            cancel_at_period_end=True,
        )  # fmt: skip


async def refund_at_stripe(life: Life) -> None:
    """Support refunds the last payment in the Dashboard."""
    paid = await life.charges("succeeded")
    if paid:
        intent = paid[-1]["payment_intent"]
        await _at_stripe(life, "refund at Stripe", "POST", "/refunds", payment_intent=intent)


async def nothing(_life: Life) -> None:
    """Nobody does anything."""


BY_NAME: dict[str, Action] = {
    action.__name__: action
    for action in (
        nothing,
        cancel,
        new_card,
        retry_now,
        pay_hosted,
        void,
        mark_uncollectible,
        pay_out_of_band,
        detach_card,
        delete_customer,
        change_quantity,
        change_price,
        to_invoice_terms,
        cancel_at_stripe,
        cancel_at_end,
        refund_at_stripe,
    )
}
WHILE_ACTIVE = (
    "change_quantity", "change_price", "to_invoice_terms", "cancel_at_stripe", "cancel_at_end",
    "refund_at_stripe", "detach_card", "delete_customer", "cancel", "new_card",
)  # fmt: skip
WHILE_PAST_DUE = (
    "cancel", "new_card", "retry_now", "pay_hosted", "void", "mark_uncollectible",
    "pay_out_of_band", "detach_card", "delete_customer", "change_quantity", "change_price",
    "cancel_at_stripe",
)  # fmt: skip
