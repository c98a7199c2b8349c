"""Usage that is reported, or taken back, while the invoice that bills it is a draft."""

from sandbox.stripe.objects.invoices import invoice_edits
from sandbox.stripe.objects.meters import meter_usage
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.session import Object, Session


def renew_drafts(session: Session, customer_id: str) -> None:
    """Let drafts bill what was reported, or taken back, since they were made."""
    for invoice in session.find("invoice", customer=customer_id, status="draft"):
        subscription_id = intents.subscription_of(invoice)
        subscription = session.store.get(subscription_id) if subscription_id else None
        items = (
            {i["id"]: i for i in meter_usage.metered_items(subscription)} if subscription else {}
        )
        old = invoice["lines"]["data"]
        lines = [_counted_anew(session, subscription, items, line) for line in old]
        if lines != old:
            invoice_edits.fill(session, invoice, lines)


def _counted_anew(
    session: Session, subscription: Object | None, items: dict[str, Object], line: Object
) -> Object:
    details = line["parent"]["subscription_item_details"] or {}
    item = items.get(details.get("subscription_item", ""))
    if item is None or subscription is None:
        return line
    period = (line["period"]["start"], line["period"]["end"])
    fresh = meter_usage.line_of(session, subscription, line["invoice"], item, period)
    counted = ("amount", "description", "quantity", "quantity_decimal", "subtotal")
    return line | {name: fresh[name] for name in counted}
