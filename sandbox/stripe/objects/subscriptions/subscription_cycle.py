"""A subscription's life in time: renewals, the end of a trial, expiry and cancellation."""

from typing import Any

from sandbox.stripe.objects.invoices import invoice_drafts, invoice_items, invoices
from sandbox.stripe.objects.meters import meter_usage
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.objects.schedules import schedule_ends
from sandbox.stripe.objects.subscriptions import subscription_billing
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.session import Object, Session

INCOMPLETE_LIFETIME = 23 * 3_600


def run_cycle(session: Session, subscription_id: str) -> None:
    """Job: a period is over."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] in {*ENDED, "incomplete", "paused"}:
        return
    if periods.period_of(subscription)[1] > session.now:
        return
    subscription_billing.run_expire_update(session, subscription_id)
    subscription = session.get("subscription", subscription_id)
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= session.now:
        end_as_planned(session, subscription)
        return
    if subscription["status"] == "trialing" and lacks_card(session, subscription):
        end_trial_without_card(session, subscription)
        return
    renew(session, subscription)


def renew(session: Session, subscription: Object) -> Object:
    """Enter the next period with a draft invoice, which opens an hour later."""
    previous = periods.period_of(subscription)
    status = "active" if subscription["status"] == "trialing" else subscription["status"]
    start, natural_end = periods.natural_period(subscription, previous[1])
    end_at = periods.bounded(subscription, start, natural_end)
    items = periods.enter_period(subscription, previous[1], end_at)
    changes: dict[str, Any] = {"items": items, "status": status}
    wanted = {**subscription, **changes}
    reason = "subscription_cycle"
    is_used = subscription["status"] != "trialing"
    invoice = invoice_drafts.create(
        session, wanted, reason=reason, period=previous, bills_usage=is_used
    )
    changes |= invoice_drafts.consequences(session, wanted, invoice)
    session.change(subscription, changes)
    periods.set_timers(session, subscription)
    return invoice


def lacks_card(session: Session, subscription: Object) -> bool:
    """Return whether the end of the trial has to do without the card that it wants."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    customer = session.get("customer", subscription["customer"])
    has_card = bool(
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )
    is_sent = subscription["collection_method"] == "send_invoice"
    return not (has_card or is_sent or behavior == "create_invoice")


def end_trial_without_card(session: Session, subscription: Object) -> None:
    """Do what the trial's settings say about its end."""
    if subscription["trial_settings"]["end_behavior"]["missing_payment_method"] == "cancel":
        end(session, subscription)
    else:
        pause(session, subscription, "trial_end_without_payment_method")


def pause(session: Session, subscription: Object, reason: str, **changes: Any) -> None:
    """Pause a subscription until somebody resumes it; its open invoices stay as they are."""
    details = {
        "paused": {
            "subscription": {"type": reason},
            "transitioned_at": session.now,
            "type": "subscription",
        }
    }
    session.change(subscription, {"status": "paused", "status_details": details, **changes})
    session.emit("customer.subscription.paused", subscription)


def run_trial_will_end(session: Session, subscription_id: str) -> None:
    """Job: three days are left of a trial."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] != "trialing":
        return
    if subscription["trial_end"] - session.now <= periods.TRIAL_NOTICE:
        session.emit("customer.subscription.trial_will_end", subscription)


def run_cancel(session: Session, subscription_id: str) -> None:
    """Job: the moment that `cancel_at` names."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] in ENDED:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= session.now:
        end_as_planned(session, subscription)


def end_as_planned(session: Session, subscription: Object) -> None:
    """Cancel at the moment that was asked for, and bill what still waits."""
    subscription_billing.drop_pending(session, subscription)
    bill_rest(session, end(session, subscription))


def bill_rest(
    session: Session, subscription: Object, *, is_immediate: bool = False
) -> Object | None:
    """Bill the usage and the invoice items that still wait when a subscription ends.

    Args:
        session: The unit of work.
        subscription: The one that ends.
        is_immediate: Whether the invoice is charged at once, and not an hour later.
    """
    customer_id, currency = subscription["customer"], subscription["currency"]
    waiting = invoice_items.pending(session, customer_id, currency, subscription["id"])
    own = [i for i in waiting if invoice_items.subscription_of(i) == subscription["id"]]
    if not own and not meter_usage.metered_items(subscription):
        return None
    invoice = invoice_drafts.create(
        session,
        subscription,
        reason="subscription_update" if is_immediate else "subscription_cycle",
        period=periods.period_of(subscription),
        items=own,
        bills_period=False,
        bills_usage=True,
    )
    session.change(subscription, {"latest_invoice": invoice["id"]})
    if is_immediate:
        subscription_billing.settle(session, invoice, {})
    return invoice


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
    subscription_id = intents.subscription_of(invoice) if invoice else None
    subscription = session.store.get(subscription_id) if subscription_id else None
    is_waiting = subscription is not None and subscription["status"] == "paused"
    if invoice and invoice["status"] == "open" and is_waiting:
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
            stopped = {"automatically_finalizes_at": None, "next_payment_attempt": None}
            session.change(invoice, {"auto_advance": False, **stopped})
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
    schedule_ends.follow(session, fresh)
    return fresh
