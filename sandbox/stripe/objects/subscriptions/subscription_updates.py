"""POST /v1/subscriptions/{id}, and the same changes by way of one item."""

from dataclasses import replace
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.subscriptions import (
    pending_updates,
    subscription_billing,
    subscription_changes,
    subscription_cycle,
    subscription_ends,
)
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.session import Object, Session, merged, shown

_AFTER_END = frozenset(("cancellation_details", "expand", "metadata"))
_ENDS = frozenset(("cancel_at", "cancel_at_period_end"))
_WHILE_INCOMPLETE = _AFTER_END | {"default_payment_method", "description", "off_session"}


def update(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}."""
    subscription = session.get("subscription", subscription_id)
    if subscription["schedule"] is not None and params.keys() & _ENDS:
        raise errors.invalid_request(
            f"The subscription is managed by the subscription schedule "
            f"`{subscription['schedule']}`, and updating any cancelation behavior directly is not "
            "allowed. Please update the schedule instead."
        )
    return shown(change(session, subscription, params))


def change(session: Session, subscription: Object, params: dict[str, Any]) -> Object:
    """Carry an update out and return the subscription as it is then.

    Raises:
        ApiError: If it is refused, or has to be paid first and is not.
    """
    check(subscription, params)
    plain = _plain_changes(session, subscription, params)
    wanted = {**subscription, **plain}
    ends_trial = params.get("trial_end") == "now" and subscription["status"] == "trialing"
    if ends_trial and subscription_cycle.lacks_card(session, wanted):
        session.change(subscription, {**plain, "trial_end": session.now}, is_announced=False)
        subscription_cycle.end_trial_without_card(session, subscription)
        return session.get("subscription", subscription["id"])
    ending = subscription_ends.wishes(session, subscription, params)
    planned = subscription_changes.plan(session, wanted, params, ending)
    extras = tuple(params.get("add_invoice_items", []))
    full = replace(planned, fields={**plain, **planned.fields}, extras=extras)
    return subscription_billing.carry_out(session, subscription, full, params)


def check(subscription: Object, params: dict[str, Any]) -> None:
    """Refuse what the subscription's status does not allow.

    Raises:
        ApiError: If there is any such wish.
    """
    status = subscription["status"]
    if status in ENDED and set(params) - _AFTER_END:
        raise errors.invalid_request(
            "A canceled subscription can only update its cancellation_details and metadata."
        )
    if status == "incomplete" and set(params) - _WHILE_INCOMPLETE:
        raise errors.invalid_request(
            "A subscription that is incomplete can only update its default_payment_method, "
            "description and metadata until its first invoice is paid."
        )
    if params.get("payment_behavior") == "pending_if_incomplete":
        for name in sorted(set(params) - pending_updates.SUPPORTED):
            raise errors.invalid_request(
                "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass "
                f"supported params; `{name}` is none of them.",
                param=name,
            )


def _plain_changes(
    session: Session, subscription: Object, params: dict[str, Any]
) -> dict[str, Any]:
    """Return the fields that neither items nor bills depend on."""
    changes: dict[str, Any] = {
        name: params[name]
        for name in ("collection_method", "days_until_due", "description")
        if name in params
    }
    if "default_payment_method" in params:
        method_id = params["default_payment_method"]
        if method_id:
            param = "default_payment_method"
            own_method(session, subscription["customer"], method_id, param=param)
        changes["default_payment_method"] = method_id
    if "trial_settings" in params:
        wish = params["trial_settings"]["end_behavior"]
        present = subscription["trial_settings"]["end_behavior"]
        changes["trial_settings"] = {"end_behavior": present | wish}
    if "discounts" in params:
        changes["discounts"] = reductions.wanted(
            session, params["discounts"], subscription, subscription=subscription["id"]
        )
    if "metadata" in params:
        changes["metadata"] = merged(subscription["metadata"], params["metadata"])
    if "payment_settings" in params:
        settings = subscription["payment_settings"] | params["payment_settings"]
        changes["payment_settings"] = settings
    if "pause_collection" in params:
        changes["pause_collection"] = _paused(session, subscription, params["pause_collection"])
    check_collection({**subscription, **changes})
    return changes


def check_collection(subscription: Object) -> None:
    """Refuse invoices that are sent without a term, and a term for those that are not sent.

    Raises:
        ApiError: In either case.
    """
    is_sent = subscription["collection_method"] == "send_invoice"
    if is_sent and subscription["days_until_due"] is None:
        raise errors.invalid_request(
            "You must pass `days_until_due` when `collection_method` is set to `send_invoice`.",
            param="days_until_due",
        )
    if not is_sent and subscription["days_until_due"] is not None:
        raise errors.invalid_request(
            "You can only set `days_until_due` if `collection_method` is `send_invoice`.",
            param="days_until_due",
        )


def _paused(session: Session, subscription: Object, wish: dict[str, Any] | None) -> Object | None:
    if not wish:
        return None
    resumes_at = wish.get("resumes_at")
    if resumes_at is not None:
        session.schedule("resume_collection", subscription["id"], resumes_at)
    return {"behavior": wish["behavior"], "resumes_at": resumes_at}


def run_resume_collection(session: Session, subscription_id: str) -> None:
    """Job: a pause of the collection is over."""
    subscription = session.store.get(subscription_id)
    paused = subscription and subscription["pause_collection"]
    if subscription and paused and paused["resumes_at"] and paused["resumes_at"] <= session.now:
        session.change(subscription, {"pause_collection": None})
