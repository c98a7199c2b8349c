"""Invoice items: what the next invoice bills beside a subscription's own items."""

from typing import Any

from sandbox.stripe.objects.invoices import invoice_lines
from sandbox.stripe.objects.invoices.prorations import Proration
from sandbox.stripe.session import Object, Session, new_id

MOST = 250
"""How many invoice items one invoice has; the others wait for the next."""


def make(
    session: Session,
    *,
    customer_id: str,
    currency: str,
    amount: int,
    quantity: int = 1,
    **fields: Any,
) -> Object:
    """Create an invoice item that waits for an invoice; `fields` replace the defaults."""
    body: Object = {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": amount,
        "_created": session.now,
        "currency": currency,
        "customer": customer_id,
        "customer_account": None,
        "date": session.now,
        "description": None,
        "discountable": True,
        "discounts": [],
        "frozen_fields": None,
        "invoice": None,
        "invoicing_rules": [],
        "livemode": False,
        "metadata": {},
        "net_amount": None,
        "parent": None,
        "period": {"end": session.now, "start": session.now},
        "pricing": None,
        "proration": False,
        "proration_details": None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": None,
        "_is_pending": True,
        **fields,
    }
    return session.create(body, event="invoiceitem.created")


def of_proration(session: Session, subscription: Object, entry: Proration) -> Object:
    """Create the invoice item of a credit or debit."""
    item, is_credit = entry.item, entry.credits is not None
    price, quantity = item["price"], item["quantity"]
    return make(
        session,
        customer_id=subscription["customer"],
        currency=subscription["currency"],
        amount=entry.amount,
        quantity=quantity,
        id=entry.id,
        description=invoice_lines.proration_text(
            session, price, quantity, entry.start, is_credit=is_credit
        ),
        discountable=False,
        metadata=dict(subscription["metadata"]),
        parent={
            "subscription_details": {
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_details",
        },
        net_amount=entry.amount,
        period={"end": entry.end, "start": entry.start},
        pricing=invoice_lines.pricing_of(price, invoice_lines.unit_of(entry.amount, quantity)),
        proration=True,
        proration_details={
            "credited_items": _credited_items(session, entry.credits) if entry.credits else None,
            "discount_amounts": list(entry.discount_amounts),
        },
        _credits=entry.credits,
    )


def _credited_items(session: Session, source: Object) -> Object:
    found = credited_lines(session, source)
    if found is None:
        return {"invoice_item": source["invoice_item"], "type": "invoice_item"}
    return {"invoice_line_item_details": found, "type": "invoice_line_items"}


def credited_lines(session: Session, source: Object) -> Object | None:
    """Return the invoice and lines that a credit takes back, if there is such an invoice yet."""
    if "invoice" in source:
        return {"invoice": source["invoice"], "invoice_line_items": source["lines"]}
    item = session.store.get(source["invoice_item"])
    if item is None or item["invoice"] is None:
        return None
    return {"invoice": item["invoice"], "invoice_line_items": [item["_line"]]}


def pending(
    session: Session, customer_id: str, currency: str, subscription_id: str | None
) -> list[Object]:
    """Return what waits for an invoice, oldest first.

    Args:
        session: The unit of work.
        customer_id: Whose.
        currency: Of the invoice.
        subscription_id: Of the invoice: it takes this one's items and those of none.
    """
    waiting = session.find("invoiceitem", customer=customer_id, currency=currency, _is_pending=1)
    own = [item for item in reversed(waiting) if subscription_of(item) in {None, subscription_id}]
    return own[:MOST]


def subscription_of(item: Object) -> str | None:
    """Return the subscription that an invoice item is for."""
    details = (item["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None


def take(session: Session, items: list[Object], invoice_id: str) -> list[Object]:
    """Put items on an invoice and return their lines."""
    lines = []
    for item in items:
        line = invoice_lines.of_invoice_item(item, invoice_id, None)
        changes = {"invoice": invoice_id, "_line": line["id"], "_is_pending": False}
        session.change(item, changes, is_announced=False)
        lines.append(line)
    for item, line in zip(items, lines, strict=True):
        if item.get("_credits"):
            details = line["parent"]["subscription_item_details"]
            found = credited_lines(session, item["_credits"])
            details["proration_details"]["credited_items"] = found
    return lines
