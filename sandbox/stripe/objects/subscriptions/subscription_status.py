"""The status rule: a subscription's status follows its latest invoice and no other."""

from typing import Any

from sandbox.stripe.objects.payments.intents import subscription_of
from sandbox.stripe.objects.subscriptions import pending_updates
from sandbox.stripe.session import Object, Session

ENDED = ("canceled", "incomplete_expired")
_LIVE = ("active", "past_due", "unpaid")


def follow(session: Session, invoice: Object) -> None:
    """Move the subscription of an invoice that has just changed.

    Paid activates. An open invoice whose payment was tried makes a running subscription past due.
    Void and uncollectible make it active again, since nothing is owed for the current period.
    An invoice that a pending update waits for only decides about that update.
    """
    subscription_id = subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    if subscription is None or subscription["latest_invoice"] != invoice["id"]:
        return
    if invoice.get("_update") and not pending_updates.settle(session, subscription, invoice):
        return
    wanted = _next_status(subscription, invoice)
    if wanted == subscription["status"]:
        return
    changes: dict[str, Any] = {"status": wanted}
    was_paused = subscription["status"] == "paused"
    if was_paused:
        changes["status_details"] = None
    if wanted == "incomplete_expired":
        changes |= {"ended_at": session.now}
    is_announced = subscription["_is_announced"]
    session.change(subscription, changes, is_announced=is_announced)
    if was_paused:
        session.emit("customer.subscription.resumed", subscription)


def _next_status(subscription: Object, invoice: Object) -> str:
    status: str = subscription["status"]
    settled: str = invoice["status"]
    resumption = invoice.get("_resumption")
    if status in ENDED or status == "trialing" or (status == "paused" and not resumption):
        return status
    if settled in {"paid", "uncollectible"}:
        return "active"
    if settled == "void":
        return {"incomplete": "incomplete_expired", "paused": "paused"}.get(status, "active")
    is_running = status in _LIVE or resumption == "resume_on_payment_attempt"
    is_owed = invoice["attempted"] or invoice.get("_is_overdue")
    return "past_due" if settled == "open" and is_owed and is_running else status
