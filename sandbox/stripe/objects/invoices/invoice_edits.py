"""Drafts by hand: made, filled, changed and thrown away."""

from typing import Any

from sandbox.stripe import amounts, errors
from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.invoices import invoice_items, invoice_shape
from sandbox.stripe.objects.invoices.invoice_drafts import HOUR
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.session import Object, Session, deleted, merged, new_id

_DRAFT_ONLY = ("collection_method", "days_until_due", "due_date", "number", "statement_descriptor")
_ALWAYS = ("auto_advance", "description", "footer")


def create(session: Session, params: dict[str, Any]) -> Object:
    """Make a draft with what waits, if that is wanted.

    Raises:
        ApiError: If there is nothing to invoice for the subscription that it is for.
    """
    customer = session.get("customer", params["customer"], param="customer")
    currency = (params.get("currency") or customer["currency"] or "usd").lower()
    amounts.check_currency(currency)
    subscription = None
    if params.get("subscription"):
        subscription = session.get("subscription", params["subscription"], param="subscription")
        if currency != subscription["currency"]:
            raise customer_currency.combined(subscription["currency"])
    customer_currency.use(session, customer, currency)
    items = _items_for(session, params, customer["id"], currency)
    if subscription and not items:
        raise errors.invalid_request(
            "Nothing to invoice for subscription", code="invoice_no_subscription_line_items"
        )
    invoice_id = new_id("in")
    advances = params.get("auto_advance", False)
    names = ("default_payment_method", "description", "footer", "number", "statement_descriptor")
    invoice = invoice_shape.draft(
        session,
        customer,
        invoice_id,
        currency,
        invoice_items.take(session, items, invoice_id),
        auto_advance=advances,
        automatically_finalizes_at=session.now + HOUR if advances else None,
        billing_reason="manual",
        collection_method=params.get("collection_method", "charge_automatically"),
        due_date=params.get("due_date"),
        metadata=merged({}, params.get("metadata")),
        parent=invoice_shape.of_subscription(subscription) if subscription else None,
        _days_until_due=params.get("days_until_due"),
        **{name: params.get(name) for name in names},
    )
    _check_terms(session, invoice, params)
    if advances:
        session.schedule("finalize_invoice", invoice_id, session.now + HOUR)
    wished = _wished(session, invoice, params)
    invoice |= _amounts(session, invoice, invoice["lines"]["data"], wished)
    return session.create(invoice, event="invoice.created")


def _wished(session: Session, invoice: Object, params: dict[str, Any]) -> list[str]:
    wishes, amount = params.get("discounts", []), (invoice["subtotal"], invoice["currency"])
    return reductions.wanted(session, wishes, invoice, amount=amount, invoice=invoice["id"])


def _items_for(
    session: Session, params: dict[str, Any], customer_id: str, currency: str
) -> list[Object]:
    subscription_id = params.get("subscription")
    items = invoice_items.pending(session, customer_id, currency, subscription_id)
    if subscription_id:
        return [i for i in items if invoice_items.subscription_of(i) == subscription_id]
    is_wanted = params.get("pending_invoice_items_behavior") == "include"
    return items if is_wanted else []


def _check_terms(session: Session, invoice: Object, params: dict[str, Any]) -> None:
    if params.get("default_payment_method"):
        param = "default_payment_method"
        own_method(session, invoice["customer"], params[param], param=param)
    has_term = invoice["due_date"] is not None or invoice["_days_until_due"] is not None
    if has_term == (invoice["collection_method"] == "send_invoice"):
        return
    if has_term:
        raise errors.invalid_request(
            "You can only specify `days_until_due` and `due_date` if `collection_method` is "
            "`send_invoice`.",
            param="days_until_due",
        )
    raise errors.invalid_request(
        "You must pass `days_until_due` or `due_date` if `collection_method` is `send_invoice`.",
        param="days_until_due",
    )


def check_draft(invoice: Object) -> None:
    """Refuse to edit an invoice that is no draft any more.

    Raises:
        ApiError: If it is none.
    """
    if invoice["status"] != "draft":
        raise errors.invalid_request(
            "This invoice is no longer editable.", code="invoice_not_editable"
        )


def put_on(session: Session, invoice: Object, items: list[Object]) -> None:
    """Put invoice items on a draft.

    Raises:
        ApiError: If it is no draft, or theirs is another currency.
    """
    check_draft(invoice)
    if any(item["currency"] != invoice["currency"] for item in items):
        raise errors.invalid_request(
            f"The currency of the invoice item doesn't match the invoice's currency: "
            f"`{invoice['currency']}`.",
            param="currency",
        )
    if len(invoice["lines"]["data"]) + len(items) > invoice_items.MOST:
        raise errors.invalid_request(
            f"An invoice can have up to {invoice_items.MOST} invoice items."
        )
    lines = [*invoice["lines"]["data"], *invoice_items.take(session, items, invoice["id"])]
    fill(session, invoice, lines)


def take_off(session: Session, invoice: Object, item: Object) -> None:
    """Take an invoice item's line off a draft."""
    lines = [line for line in invoice["lines"]["data"] if line["id"] != item["_line"]]
    fill(session, invoice, lines)


def remove(session: Session, invoice: Object, line: Object, behavior: str) -> None:
    """Take a line off a draft.

    Raises:
        ApiError: If no invoice item is behind it.
    """
    parent = line["parent"]
    item_id = (parent["invoice_item_details"] or parent["subscription_item_details"])[
        "invoice_item"
    ]
    if item_id is None:
        raise errors.invalid_request(
            "A line of a subscription's own items cannot be removed.", param="lines"
        )
    item = session.get("invoiceitem", item_id)
    take_off(session, invoice, item)
    if behavior == "unassign":
        changes = {"invoice": None, "_line": None, "_is_pending": True}
        session.change(item, changes, is_announced=False)
        return
    session.store.delete(item_id)
    session.emit("invoiceitem.deleted", item)


def fill(session: Session, invoice: Object, lines: list[Object]) -> None:
    """Give a draft other lines, and the amounts that they come to."""
    discount_ids = invoice["discounts"]
    changes = {"lines": {**invoice["lines"], "data": lines}}
    session.change(invoice, {**changes, **_amounts(session, invoice, lines, discount_ids)})


def _amounts(
    session: Session, invoice: Object, lines: list[Object], discount_ids: list[str]
) -> dict[str, Any]:
    """Return what a draft comes to with other lines or discounts."""
    customer = session.get("customer", invoice["customer"])
    reduced = reductions.applied(session, lines, discount_ids)
    currency = invoice["currency"]
    balance = customer_currency.balance_of(customer, currency)
    amounts = invoice_shape.totals(lines, balance, currency)
    return {**amounts, **reduced}


def update(session: Session, invoice: Object, params: dict[str, Any]) -> Object:
    """Change what may be changed on an invoice.

    Raises:
        ApiError: If it is too late for that.
    """
    if params.keys() & set(_DRAFT_ONLY):
        check_draft(invoice)
    names = (*_ALWAYS, *_DRAFT_ONLY)
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if "days_until_due" in changes:
        changes["_days_until_due"] = changes.pop("days_until_due")
    if params.get("auto_advance") and invoice["status"] not in {"draft", "open"}:
        raise errors.invalid_request(
            f"An invoice with status {invoice['status']} does not advance.",
            code="invoice_not_editable",
        )
    if params.get("default_payment_method"):
        changes["default_payment_method"] = params["default_payment_method"]
    if "metadata" in params:
        changes["metadata"] = merged(invoice["metadata"] or {}, params["metadata"])
    if changes.get("auto_advance") is False:
        changes["next_payment_attempt"] = None
    _check_terms(session, {**invoice, **changes}, params)
    if "discounts" in params:
        check_draft(invoice)
        lines = [dict(line) for line in invoice["lines"]["data"]]
        wished = _wished(session, invoice, params)
        changes |= _amounts(session, invoice, lines, wished)
        changes["lines"] = {**invoice["lines"], "data": lines}
    if invoice["status"] == "draft" and "auto_advance" in changes:
        due_at = session.now + HOUR if changes["auto_advance"] else None
        changes["automatically_finalizes_at"] = due_at
        if due_at is not None:
            session.schedule("finalize_invoice", invoice["id"], due_at)
    return session.change(invoice, changes)


def delete(session: Session, invoice: Object) -> Object:
    """Throw a draft away; what it had taken waits again.

    Raises:
        ApiError: If it is no draft, or a subscription's own.
    """
    if invoice["status"] != "draft" or intents.subscription_of(invoice):
        raise errors.invalid_request(
            "You can only delete draft invoices that no subscription has made.",
            code="invoice_not_editable",
        )
    for item in session.find("invoiceitem", invoice=invoice["id"]):
        changes = {"invoice": None, "_line": None, "_is_pending": True}
        session.change(item, changes, is_announced=False)
    session.store.delete(invoice["id"])
    session.emit("invoice.deleted", invoice)
    return deleted(invoice)
