"""The status rule: a subscription follows its newest invoice that is finalized and not void."""

from typing import Any

from sandbox.stripe.objects.payments.intents import subscription_of
from sandbox.stripe.objects.subscriptions import pending_updates
from sandbox.stripe.session import Object, Session

ENDED = ("canceled", "incomplete_expired")
_OWN_REASONS = ["subscription_create", "subscription_cycle", "subscription_update"]
_COUNTING = ["open", "paid", "uncollectible"]


def follow(session: Session, invoice: Object) -> None:
    """Move the subscription of an invoice that has just changed.

    Paid and uncollectible activate, and so does a void invoice if the one before it is settled. An
    open invoice whose payment was tried makes a running subscription past due. Drafts, void
    invoices and those made by hand do not count. An invoice that a pending update waits for only
    decides about that update.
    """
    subscription_id = subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    if subscription is None or invoice["billing_reason"] not in _OWN_REASONS:
        return
    if invoice.get("_update") and not pending_updates.settle(session, subscription, invoice):
        return
    wanted = _next_status(session, subscription, invoice)
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


def _next_status(session: Session, subscription: Object, invoice: Object) -> str:
    status: str = subscription["status"]
    resumption = invoice.get("_resumption")
    if status in ENDED or status == "trialing" or (status == "paused" and not resumption):
        return status
    if status in {"incomplete", "paused"}:
        return _after_waiting(status, invoice, resumption)
    newest = newest_counting(session, subscription["id"])
    if newest is None or newest["status"] != "open":
        return "active"
    if newest["attempted"] or newest.get("_is_overdue"):
        return "unpaid" if status == "unpaid" else "past_due"
    is_sent = newest["collection_method"] == "send_invoice"
    return "active" if is_sent and newest["id"] != invoice["id"] else status


def _after_waiting(status: str, invoice: Object, resumption: str | None) -> str:
    """Return the next status of a subscription that waits for this invoice to begin or go on."""
    if invoice["status"] in {"paid", "uncollectible"}:
        return "active"
    if invoice["status"] == "void":
        return "incomplete_expired" if status == "incomplete" else status
    is_tried = invoice["status"] == "open" and (invoice["attempted"] or invoice.get("_is_overdue"))
    return "past_due" if is_tried and resumption == "resume_on_payment_attempt" else status


def newest_counting(session: Session, subscription_id: str) -> Object | None:
    """Return the newest invoice of a subscription that is finalized and not void.

    Invoices that a pending update waits for are left out.
    """
    filters = {
        "parent.subscription_details.subscription": subscription_id,
        "status": _COUNTING,
        "billing_reason": _OWN_REASONS,
        "_update": None,
    }
    rows, _ = session.store.objects("invoice", filters, page={"limit": 1})
    return rows[0] if rows else None
