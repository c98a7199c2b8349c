"""How a change of a subscription is billed, charged and, if it waits for that, held back."""

from collections.abc import Iterable
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.invoices import (
    invoice_drafts,
    invoice_item_routes,
    invoice_items,
    invoices,
)
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.objects.subscriptions import pending_updates, subscription_periods
from sandbox.stripe.objects.subscriptions.subscription_changes import Change
from sandbox.stripe.session import Object, Session, merged

_REASON = "subscription_update"
_WAITING = ("error_if_incomplete", "pending_if_incomplete")


def carry_out(
    session: Session, subscription: Object, change: Change, params: dict[str, Any]
) -> Object:
    """Make a change and bill it, in the order that its payment behavior asks for.

    Raises:
        ApiError: If the change may only be made when it is paid, and the card says no.
    """
    if change.is_invoiced or "items" in change.fields:
        drop_pending(session, subscription)
    behavior = params.get("payment_behavior", "allow_incomplete")
    if change.is_invoiced and behavior in _WAITING:
        return _pay_first(session, subscription, change, params)
    fields = dict(change.fields)
    write_items(session, subscription, change)
    invoice = draft(session, subscription, change) if change.is_invoiced else None
    if invoice is not None:
        fields |= _consequences(session, subscription, change, invoice)
    session.change(subscription, fields)
    if "items" in fields:
        subscription_periods.set_timers(session, subscription)
    if "trial_end" in fields:
        subscription_periods.tell_of_trial(session, subscription)
    if invoice is not None:
        settle(session, invoice, params)
    return session.get("subscription", subscription["id"])


def write_items(session: Session, subscription: Object, change: Change) -> list[Object]:
    """Write a change's credits, debits and extra charges down as invoice items."""
    wanted = {**subscription, **change.fields}
    items = [invoice_items.of_proration(session, wanted, entry) for entry in change.prorations]
    return [*items, *write_extras(session, wanted, change.extras)]


def write_extras(
    session: Session, subscription: Object, entries: Iterable[dict[str, Any]]
) -> list[Object]:
    """Write the entries of `add_invoice_items` down; the subscription's next invoice bills them."""
    start, end = subscription_periods.period_of(subscription)
    details = {"subscription": subscription["id"]}
    made = []
    for number, entry in enumerate(entries):
        named = {"pricing": {"price": entry.get("price")}} if entry.get("price") else {}
        terms = invoice_item_routes.priced(session, {**entry, **named}, subscription["currency"])
        param = f"add_invoice_items[{number}][price]"
        customer_currency.check_price(terms, subscription["currency"], param=param)
        item = invoice_items.make(
            session,
            customer_id=subscription["customer"],
            **terms,
            description=invoice_item_routes.terms_name(session, terms),
            discountable=entry.get("discountable", True),
            metadata=merged({}, entry.get("metadata")),
            parent={"subscription_details": details, "type": "subscription_details"},
            period={"end": end, "start": start},
        )
        made.append(item)
    return made


def draft(session: Session, subscription: Object, change: Change) -> Object:
    """Return the invoice of a change, with all invoice items that wait."""
    return invoice_drafts.create(
        session,
        {**subscription, **change.fields},
        reason=_REASON,
        period=(subscription_periods.period_of(subscription)[0], session.now),
        bills_period=change.bills_period,
        bills_usage=change.bills_period and subscription["status"] != "trialing",
        proration_date=change.proration_date,
    )


def _consequences(
    session: Session, subscription: Object, change: Change, invoice: Object
) -> dict[str, Any]:
    wanted = {**subscription, **change.fields}
    bills_period = change.bills_period
    return invoice_drafts.consequences(session, wanted, invoice, bills_period=bills_period)


def settle(session: Session, invoice: Object, params: dict[str, Any]) -> None:
    """Open the invoice of a change and charge it, unless somebody else is to do that."""
    if invoice["automatically_finalizes_at"] is not None or not invoice["auto_advance"]:
        return
    invoices.finalize(session, invoice)
    if invoice["status"] != "open" or invoices.is_let_go(session, invoice):
        return
    if params.get("payment_behavior") != "default_incomplete":
        method = invoices.default_method(session, invoice)
        is_off_session = params.get("off_session", False)
        invoices.collect(session, invoice, method, is_off_session=is_off_session)
        return
    subscription = session.get("subscription", intents.subscription_of(invoice) or "")
    if subscription["status"] == "active":
        session.change(subscription, {"status": "past_due"})


def _pay_first(
    session: Session, subscription: Object, change: Change, params: dict[str, Any]
) -> Object:
    """Charge a change before it is made."""
    items = write_items(session, subscription, change)
    invoice = draft(session, subscription, change)
    fields = {**change.fields, **_consequences(session, subscription, change, invoice)}
    session.change(invoice, {"_update": fields}, is_announced=False)
    previous = subscription["latest_invoice"]
    session.change(subscription, {"latest_invoice": invoice["id"]}, is_announced=False)
    invoices.finalize(session, invoice)
    method = invoices.default_method(session, invoice)
    if fields.get("default_payment_method"):
        method = session.get("payment_method", fields["default_payment_method"])
    is_erring = params.get("payment_behavior") == "error_if_incomplete"
    if invoice["status"] == "open":
        if method is None and is_erring:
            raise errors.no_card()
        is_off_session = params.get("off_session", False)
        intent = invoices.collect(session, invoice, method, is_off_session=is_off_session)
        if is_erring and intent is not None and method is not None:
            if intent["status"] != "succeeded":
                _undo(session, subscription, invoice, previous, [item["id"] for item in items])
            invoices.refuse_unless_paid(intent, method)
    fresh = session.get("subscription", subscription["id"])
    if invoice["status"] == "open":
        pending_updates.hold(session, fresh, fields)
    return fresh


def _undo(
    session: Session,
    subscription: Object,
    invoice: Object,
    previous: str | None,
    written_ids: list[str],
) -> None:
    """Take an unpaid change back as if it had never been asked for; its charge stays on record."""
    invoices.return_balance(session, invoice)
    for item in session.find("invoiceitem", invoice=invoice["id"]):
        if item["id"] not in written_ids:
            waits = {"invoice": None, "_line": None, "_is_pending": True}
            session.change(item, waits, is_announced=False)
    payments = session.find("invoice_payment", invoice=invoice["id"])
    session.withdraw(invoice["id"], *written_ids, *[each["id"] for each in payments])
    fresh = session.get("subscription", subscription["id"])
    session.change(fresh, {"latest_invoice": previous}, is_announced=False)


def drop_pending(session: Session, subscription: Object) -> None:
    """Give up an update that still waits for its payment."""
    if subscription["pending_update"] is None:
        return
    invoice = session.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        invoices.void(session, invoice)
    subscription.update(session.get("subscription", subscription["id"]))


def run_expire_update(session: Session, subscription_id: str) -> None:
    """Job: a pending update was not paid in time."""
    subscription = session.store.get(subscription_id)
    pending = subscription and subscription["pending_update"]
    if not subscription or not pending or pending["expires_at"] > session.now:
        return
    drop_pending(session, subscription)
    session.emit("customer.subscription.pending_update_expired", subscription)
