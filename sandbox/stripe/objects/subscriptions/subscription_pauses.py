"""Pausing a subscription, and resuming it."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import period_end
from sandbox.stripe.objects.invoices import invoice_drafts, invoices
from sandbox.stripe.objects.subscriptions import (
    subscription_billing,
    subscription_changes,
    subscription_cycle,
)
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_changes import Change
from sandbox.stripe.session import Object, Session, shown

_DEFAULT = "resume_on_payment_attempt"


def pause(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}/pause."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] not in {"active", "past_due", "unpaid", "trialing"}:
        raise errors.invalid_request(
            f"A subscription that is {subscription['status']} cannot be paused."
        )
    if subscription["schedule"] is not None:
        raise errors.invalid_request("A subscription with a schedule attached cannot be paused.")
    subscription_billing.drop_pending(session, subscription)
    unused = params.get("bill_for", {}).get("unused_time_from", {}).get("type", "now")
    credited = None
    if unused != "none" and subscription["status"] != "trialing":
        since = session.now if unused == "now" else periods.period_of(subscription)[0]
        credited = subscription_changes.credit_unused(subscription, since)
        subscription_billing.write_items(session, subscription, credited)
    fields = credited.fields if credited else {}
    subscription_cycle.pause(session, subscription, "pause_requested", **fields)
    if credited and params.get("invoicing_behavior") == "invoice":
        subscription_cycle.bill_rest(session, subscription, is_immediate=True)
    return shown(session.get("subscription", subscription_id))


def resume(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}/resume."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] != "paused":
        raise errors.invalid_request(
            f"Only a paused subscription can be resumed; this one is {subscription['status']}."
        )
    anchor = params.get("billing_cycle_anchor", {}).get("type", "now")
    change = (_from_now if anchor == "now" else _in_between)(session, subscription, params)
    items = subscription_billing.write_items(session, subscription, change)
    fields = dict(change.fields)
    if not change.is_invoiced:
        fields |= {"status": "active", "status_details": None}
        session.change(subscription, fields)
        periods.set_timers(session, subscription)
        session.emit("customer.subscription.resumed", subscription)
        return shown(subscription)
    wanted = {**subscription, **fields}
    invoice = invoice_drafts.create(
        session,
        wanted,
        reason="subscription_update",
        period=(periods.period_of(subscription)[0], session.now),
        items=None if change.bills_period else items,
        bills_period=change.bills_period,
    )
    fields |= invoice_drafts.consequences(
        session, wanted, invoice, bills_period=change.bills_period
    )
    session.change(subscription, fields)
    periods.set_timers(session, subscription)
    behavior = params.get("payment_behavior", _DEFAULT)
    session.change(invoice, {"_resumption": behavior}, is_announced=False)
    _collect(session, invoice, is_attempted=behavior != _DEFAULT)
    return shown(session.get("subscription", subscription_id))


def _from_now(session: Session, subscription: Object, _params: dict[str, Any]) -> Change:
    end_at = period_end(session.now, *periods.recurring_of(subscription))
    fields = {
        "billing_cycle_anchor": session.now,
        "billing_cycle_anchor_config": None,
        "items": periods.enter_period(subscription, session.now, end_at),
    }
    return Change(fields, (), bills_period=True, is_invoiced=True)


def _in_between(session: Session, subscription: Object, params: dict[str, Any]) -> Change:
    """Enter the period around now, and debit what is left of it."""
    start, end_at = periods.natural_period(subscription, session.now)
    items = periods.enter_period(subscription, start, end_at)
    fields: dict[str, Any] = {"items": items}
    behavior = params.get("proration_behavior", "create_prorations")
    if behavior == "none":
        return Change({**fields, "_debits": {}}, (), bills_period=False, is_invoiced=False)
    since = params.get("proration_date") or session.now
    wanted = {**subscription, "items": items}
    entries, fields["_debits"] = subscription_changes.debit_rest(session, wanted, since)
    is_invoiced = behavior == "always_invoice"
    return Change(fields, tuple(entries), bills_period=False, is_invoiced=is_invoiced)


def _collect(session: Session, invoice: Object, *, is_attempted: bool) -> None:
    """Open a resumption's invoice; the subscription waits for it, at most 23 hours."""
    invoices.finalize(session, invoice)
    if invoice["status"] == "open" and is_attempted:
        method = invoices.default_method(session, invoice)
        invoices.collect(session, invoice, method, is_off_session=False)
    if invoice["status"] == "open":
        due_at = session.now + subscription_cycle.INCOMPLETE_LIFETIME
        session.schedule("void_resumption", invoice["id"], due_at)
