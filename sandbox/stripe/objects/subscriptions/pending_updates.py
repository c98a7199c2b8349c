"""Pending updates: changes of a subscription that wait until their invoice is paid."""

from sandbox.stripe.objects.subscriptions import subscription_periods
from sandbox.stripe.session import Object, Session

LIFETIME = 23 * 3_600
SUPPORTED = frozenset(
    (
        "add_invoice_items", "billing_cycle_anchor", "discounts", "expand", "items", "metadata",
        "off_session", "payment_behavior", "proration_behavior", "proration_date", "trial_end",
    )
)  # fmt: skip


def hold(session: Session, subscription: Object, fields: Object) -> None:
    """Show changes as pending, and let them expire."""
    limits = [session.now + LIFETIME, subscription_periods.period_of(subscription)[1]]
    expires_at = min(limits)
    items = fields.get("items")
    pending = {
        "billing_cycle_anchor": fields.get("billing_cycle_anchor"),
        "discounts": fields.get("discounts"),
        "expires_at": expires_at,
        "metadata": _new_metadata(subscription, fields),
        "subscription_items": items and items["data"],
        "trial_end": fields.get("trial_end"),
        "trial_from_plan": None,
    }
    session.change(subscription, {"pending_update": pending})
    session.schedule("expire_update", subscription["id"], expires_at)


def _new_metadata(subscription: Object, fields: Object) -> Object | None:
    """Return the metadata that an update adds or changes; None if there is none."""
    present: Object = subscription["metadata"]
    wanted: Object = fields.get("metadata") or present
    return {key: text for key, text in wanted.items() if present.get(key) != text} or None


def settle(session: Session, subscription: Object, invoice: Object) -> bool:
    """Apply an update whose invoice was paid, or drop one whose invoice was given up.

    Returns:
        Whether the update was applied, so that the status may follow the invoice.
    """
    if invoice["status"] in {"draft", "open"}:
        return False
    was_pending = subscription["pending_update"] is not None
    fields = invoice["_update"]
    session.change(invoice, {"_update": None}, is_announced=False)
    if invoice["status"] != "paid":
        session.change(subscription, {"pending_update": None})
        return False
    if "metadata" in fields:
        # Reason: what was written meanwhile stays; the update only adds to it.
        added = (subscription["pending_update"] or {}).get("metadata") or fields["metadata"]
        fields = {**fields, "metadata": {**subscription["metadata"], **added}}
    session.change(subscription, {**fields, "pending_update": None})
    subscription_periods.set_timers(session, subscription)
    if was_pending:
        session.emit("customer.subscription.pending_update_applied", subscription)
    return True
