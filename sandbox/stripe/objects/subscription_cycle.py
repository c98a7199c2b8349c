"""A subscription's life in time: renewals, the end of a trial, expiry and cancellation."""

from typing import Any

from sandbox.stripe.calendars import period_end
from sandbox.stripe.objects import invoices
from sandbox.stripe.objects.subscription_status import ENDED
from sandbox.stripe.session import Object, Session

DAY = 86_400
TRIAL_NOTICE = 3 * DAY
INCOMPLETE_LIFETIME = 23 * 3_600


def period_of(subscription: Object) -> tuple[int, int]:
    """Return the start and end of the current period, which is the same for all items."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def recurring_of(subscription: Object) -> tuple[str, int]:
    """Return the interval and how many of them make a period."""
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def enter_period(subscription: Object, start: int, end: int) -> Object:
    """Return the items moved to another period."""
    listed = subscription["items"]
    span = {"current_period_start": start, "current_period_end": end}
    return {**listed, "data": [{**item, **span} for item in listed["data"]]}


def run_cycle(session: Session, subscription_id: str) -> None:
    """Job: a period is over."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] in {*ENDED, "incomplete", "paused"}:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= session.now:
        end(session, subscription)
        return
    if subscription["status"] == "trialing" and not _leave_trial(session, subscription):
        return
    renew(session, subscription)


def renew(session: Session, subscription: Object) -> Object:
    """Enter the next period with a draft invoice, which opens an hour later."""
    previous = period_of(subscription)
    cycle = subscription["_cycle"] + 1
    interval, count = recurring_of(subscription)
    end_at = period_end(subscription["billing_cycle_anchor"], interval, count * cycle)
    changes: dict[str, Any] = {
        "items": enter_period(subscription, previous[1], end_at),
        "_cycle": cycle,
    }
    if subscription["status"] == "trialing":
        changes["status"] = "active"
    wanted = {**subscription, **changes}
    invoice = invoices.create_draft(session, wanted, reason="subscription_cycle", period=previous)
    session.change(subscription, {**changes, "latest_invoice": invoice["id"]})
    session.schedule("cycle", subscription["id"], end_at)
    session.schedule("finalize_invoice", invoice["id"], session.now + invoices.HOUR)
    return invoice


def _leave_trial(session: Session, subscription: Object) -> bool:
    """Return whether billing starts, after doing what the trial's settings say otherwise."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    customer = session.get("customer", subscription["customer"])
    has_card = bool(
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )
    if has_card or behavior == "create_invoice":
        return True
    if behavior == "cancel":
        end(session, subscription)
        return False
    pause(session, subscription, "trial_end_without_payment_method")
    return False


def pause(session: Session, subscription: Object, reason: str) -> None:
    """Pause a subscription until somebody resumes it; its open invoices stay as they are."""
    details = {
        "paused": {
            "subscription": {"type": reason},
            "transitioned_at": session.now,
            "type": "subscription",
        }
    }
    session.change(subscription, {"status": "paused", "status_details": details})
    session.emit("customer.subscription.paused", subscription)


def run_trial_will_end(session: Session, subscription_id: str) -> None:
    """Job: three days are left of a trial."""
    subscription = session.store.get(subscription_id)
    if subscription and subscription["status"] == "trialing":
        session.emit("customer.subscription.trial_will_end", subscription)


def run_cancel(session: Session, subscription_id: str) -> None:
    """Job: the moment that `cancel_at` names."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] in ENDED:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= session.now:
        end(session, subscription)


def run_expire(session: Session, subscription_id: str) -> None:
    """Job: the first invoice was not paid within 23 hours."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] != "incomplete":
        return
    invoice = session.get("invoice", subscription["latest_invoice"])
    invoices.void(session, invoice)


def run_void_resumption(session: Session, invoice_id: str) -> None:
    """Job: a resumption that waits for its payment is given up after 23 hours."""
    invoice = session.store.get(invoice_id)
    if invoice and invoice["status"] == "open":
        invoices.void(session, invoice)


def end(session: Session, subscription: Object, **changes: Any) -> Object:
    """Cancel for good; what is open stays open but is not charged by itself any more."""
    was_incomplete = subscription["status"] == "incomplete"
    for invoice in session.find(
        "invoice", parent__subscription_details__subscription=subscription["id"]
    ):
        if invoice["status"] not in {"draft", "open"}:
            continue
        if was_incomplete and invoice["status"] == "open":
            # Reason: voiding the first invoice already leads to incomplete_expired.
            invoices.void(session, invoice)
        else:
            session.change(invoice, {"auto_advance": False, "automatically_finalizes_at": None})
    fresh = session.get("subscription", subscription["id"])
    session.change(
        fresh,
        {
            "status": "incomplete_expired" if was_incomplete else "canceled",
            "canceled_at": fresh["canceled_at"] or session.now,
            "ended_at": session.now,
            **changes,
        },
        is_announced=False,
    )
    session.emit("customer.subscription.deleted", fresh)
    return fresh
