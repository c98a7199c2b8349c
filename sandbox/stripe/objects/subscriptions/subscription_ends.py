"""How subscriptions end: planned, un-planned, and at once."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.subscriptions import (
    subscription_billing,
    subscription_changes,
    subscription_cycle,
)
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.session import Object, Session, shown


def wishes(session: Session, subscription: Object, params: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a wish to end, or not to end, changes.

    Raises:
        ApiError: If the end lies in the past.
    """
    details = {**subscription["cancellation_details"], **params.get("cancellation_details", {})}
    wants_end = params.get("cancel_at_period_end")
    cancel_at = params.get("cancel_at")
    if wants_end is not None and cancel_at is not None:
        raise errors.invalid_request(
            "You may only specify one of `cancel_at`, `cancel_at_period_end`.", param="cancel_at"
        )
    if wants_end or cancel_at is not None:
        is_end = wants_end or isinstance(cancel_at, str)
        due_at = periods.full_end(subscription) if is_end else int(cancel_at or 0)
        if due_at <= session.now:
            raise errors.invalid_request("cancel_at must be in the future.", param="cancel_at")
        session.schedule("cancel", subscription["id"], due_at)
        return {
            "cancel_at": due_at,
            "cancel_at_period_end": bool(wants_end),
            "canceled_at": session.now,
            "cancellation_details": details | {"reason": "cancellation_requested"},
        }
    if wants_end is False or "cancel_at" in params:
        is_planned = subscription["cancel_at"] is not None
        cleared = {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
        nothing = dict.fromkeys(("comment", "feedback", "feedback_option", "reason"))
        return {**cleared, "cancellation_details": nothing} if is_planned else {}
    return {"cancellation_details": details} if "cancellation_details" in params else {}


def cancel(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """DELETE /v1/subscriptions/{id}."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] in ENDED:
        raise errors.missing("subscription", subscription_id)
    details = {**subscription["cancellation_details"], **params.get("cancellation_details", {})}
    details["reason"] = "cancellation_requested"
    subscription_billing.drop_pending(session, subscription)
    if params.get("prorate") and subscription["status"] in {"active", "past_due", "unpaid"}:
        credited = subscription_changes.credit_unused(subscription, session.now)
        subscription_billing.write_items(session, subscription, credited)
        session.change(subscription, credited.fields, is_announced=False)
    ended = subscription_cycle.end(
        session, subscription, cancellation_details=details, canceled_at=session.now
    )
    if params.get("invoice_now"):
        subscription_cycle.bill_rest(session, ended, is_immediate=True)
    return shown(session.get("subscription", subscription_id))
