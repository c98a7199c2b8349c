"""Drafts: what an invoice bills, before it is finalized."""

from typing import Any

from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.invoices import invoice_items, invoice_lines, invoice_shape
from sandbox.stripe.objects.meters import meter_usage
from sandbox.stripe.session import Object, Session, new_id

HOUR = 3_600
_IMMEDIATE = ("subscription_create", "subscription_update")


def create(
    session: Session,
    subscription: Object,
    *,
    reason: str,
    period: tuple[int, int],
    items: list[Object] | None = None,
    **options: Any,
) -> Object:
    """Bill a subscription; nothing is charged yet.

    Args:
        session: The unit of work.
        subscription: As it will be; it need not be saved.
        reason: The invoice's billing reason.
        period: The invoice's own period.
        items: The invoice items to bill; what waits for an invoice if not given.
        options: `bills_period` (whether the items' current period is billed), `is_free` (whether
            it costs nothing), `is_whole` (whether it costs all though it is cut short),
            `bills_usage` (also what was used), and `proration_date`.
    """
    customer, invoice_id = session.get("customer", subscription["customer"]), new_id("in")
    currency = subscription["currency"]
    if items is None:
        items = invoice_items.pending(session, customer["id"], currency, subscription["id"])
    lines = [
        *invoice_items.take(session, items, invoice_id),
        *_own_lines(session, subscription, invoice_id, period, options),
    ]
    reduced = reductions.applied(session, lines, subscription["discounts"])
    invoice = invoice_shape.draft(
        session,
        customer,
        invoice_id,
        currency,
        lines,
        **reduced,
        **_advance(session, subscription, reason),
        billing_reason=reason,
        collection_method=subscription["collection_method"],
        parent=invoice_shape.of_subscription(subscription, options.get("proration_date")),
        period_end=period[1],
        period_start=period[0],
        _days_until_due=subscription["days_until_due"],
    )
    if invoice["automatically_finalizes_at"] is not None:
        session.schedule("finalize_invoice", invoice_id, invoice["automatically_finalizes_at"])
    return session.create(invoice, event="invoice.created")


def _own_lines(
    session: Session,
    subscription: Object,
    invoice_id: str,
    period: tuple[int, int],
    options: dict[str, Any],
) -> list[Object]:
    """Return the lines of the subscription's items: ahead for a period, afterwards for usage."""
    lines: list[Object] = []
    if options.get("bills_period", True):
        is_free = options.get("is_free", subscription["status"] == "trialing")
        is_whole = options.get("is_whole", False)
        lines += invoice_lines.of_period(
            session, subscription, invoice_id, is_free=is_free, is_whole=is_whole
        )
    if options.get("bills_usage"):
        lines += meter_usage.lines(session, subscription, invoice_id, period)
    return lines


def _advance(session: Session, subscription: Object, reason: str) -> dict[str, Any]:
    """Return when a draft opens by itself: an hour later, at once (None), or never."""
    paused = subscription["pause_collection"]
    is_paused = bool(paused) and paused["behavior"] == "keep_as_draft"
    is_kept = is_paused or subscription["status"] == "unpaid"
    is_sent = subscription["collection_method"] == "send_invoice"
    is_scheduled = reason == "subscription_create" and subscription["schedule"] is not None
    waits = not is_kept and (is_sent or is_scheduled or reason not in _IMMEDIATE)
    due_at = session.now + HOUR if waits else None
    return {"auto_advance": not is_kept, "automatically_finalizes_at": due_at}


def consequences(
    session: Session, subscription: Object, invoice: Object, *, bills_period: bool = True
) -> dict[str, Any]:
    """Return the fields of a subscription that a new invoice of its own changes."""
    discounts = reductions.left_over(session, subscription["discounts"], invoice)
    fields: dict[str, Any] = {"latest_invoice": invoice["id"], "discounts": discounts}
    if bills_period:
        fields["_debits"] = _debits_of(invoice)
    return fields


def _debits_of(invoice: Object) -> dict[str, list[Object]]:
    """Return what an invoice bills for a subscription's items in their new period, by item."""
    debits: dict[str, list[Object]] = {}
    for line in invoice["lines"]["data"]:
        details = line["parent"]["subscription_item_details"]
        # Reason: usage is billed afterwards, so nothing of it lies in the time to come.
        is_past = line["period"]["end"] <= invoice["period_end"]
        if details is None or details["invoice_item"] or is_past:
            continue
        net = line["amount"] - sum(d["amount"] for d in line["discount_amounts"])
        source = {"invoice": invoice["id"], "lines": [line["id"]]}
        debit = {"amount": net, **line["period"], "source": source}
        debits[details["subscription_item"]] = [debit]
    return debits
