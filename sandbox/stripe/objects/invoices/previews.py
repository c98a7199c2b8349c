"""POST /v1/invoices/create_preview: the change itself, carried out and taken back."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.customers import customers
from sandbox.stripe.objects.invoices import invoice_item_routes, invoice_shape, upcoming
from sandbox.stripe.objects.subscriptions import (
    subscription_billing,
    subscription_changes,
    subscription_cycle,
    subscription_ends,
    subscription_params,
    subscription_pauses,
    subscription_start,
    subscription_updates,
)
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.params import Boolean, Choice, Group, Integer, Many, Metadata, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, shown

LINES_OF_PREVIEW = "lines_of_preview"
"""What is kept of a preview, so that its lines can be listed."""

_ITEM = Group(
    {
        "amount": Integer(),
        "currency": Text(),
        "description": Text(),
        "discountable": Boolean(),
        "metadata": Metadata(),
        "period": Group({"end": Integer(), "start": Integer()}, required=("end", "start")),
        "price": Text(),
        "price_data": invoice_item_routes.PRICE_DATA,
        "quantity": Integer(minimum=0),
    }
)
_ANCHOR = Group(
    {"timestamp": Integer(), "type": Choice(("now", "timestamp", "unchanged"))}, required=("type",)
)
_DETAILS = Group(
    {
        "billing_cycle_anchor": _ANCHOR,
        "billing_mode": subscription_params.BILLING_MODE,
        "cancel_at": subscription_params.CANCEL_AT,
        "cancel_at_period_end": Boolean(),
        "cancel_now": Boolean(),
        "items": Many(Group(subscription_params.CHANGED_ITEM)),
        "metadata": Metadata(),
        "pause": subscription_params.PAUSE,
        "proration_behavior": subscription_params.PRORATION_BEHAVIOR,
        "proration_date": Integer(),
        "resume_at": Choice(("now",)),
        "trial_end": Integer(words=("now",)),
    }
)
_PREVIEW = Group(
    {
        "currency": Text(),
        "customer": Text(),
        "discounts": reductions.WISHES,
        "invoice_items": Many(_ITEM),
        "preview_mode": Choice(("next",)),
        "subscription": Text(),
        "subscription_details": _DETAILS,
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/invoices/create_preview."""
    subscription = None
    if params.get("subscription"):
        subscription = session.get("subscription", params["subscription"], param="subscription")
    customer_id: str | None = params.get("customer")
    if customer_id is None and subscription is not None:
        customer_id = subscription["customer"]
    if customer_id:
        session.get("customer", customer_id, param="customer")
    with session.store.db.rehearsal():
        ahead = session.at(session.now)
        payer = customer_id or customers.create(ahead, {})["id"]
        for item in params.get("invoice_items", []):
            pricing = {"pricing": {"price": item["price"]}} if item.get("price") else {}
            wanted = {**item, **pricing, "customer": payer}
            invoice_item_routes.create(ahead, wanted)
        details = params.get("subscription_details", {})
        if subscription is None and details.get("items"):
            invoice: Object | None = _of_new(ahead, payer, params)
        else:
            subscription = subscription or _next_due(ahead, payer)
            if "discounts" in params:
                wishes = {"discounts": params["discounts"]}
                subscription_updates.change(ahead, subscription, wishes)
            invoice = _of_change(ahead, subscription, details)
    if invoice is None:
        raise _nothing(customer_id)
    upcoming_one = {**invoice_shape.as_upcoming(invoice), "customer": customer_id}
    kept = {"id": upcoming_one["id"], "object": LINES_OF_PREVIEW, "lines": upcoming_one["lines"]}
    session.store.put(kept)
    return shown(upcoming_one)


def _nothing(customer_id: str | None) -> errors.ApiError:
    return errors.ApiError(
        404,
        "invalid_request_error",
        f"No upcoming invoices for customer: {customer_id}",
        code="invoice_upcoming_none",
    )


def _of_new(session: Session, customer_id: str, params: dict[str, Any]) -> Object:
    details = dict(params["subscription_details"])
    anchor = details.pop("billing_cycle_anchor", {})
    if anchor.get("type") == "timestamp":
        details["billing_cycle_anchor"] = anchor.get("timestamp")
    if "discounts" in params:
        details["discounts"] = params["discounts"]
    if params.get("currency"):
        details["currency"] = params["currency"]
    _, invoice = subscription_start.draft(session, {**details, "customer": customer_id})
    return invoice


def _next_due(session: Session, customer_id: str) -> Object:
    running = [
        subscription
        for subscription in session.find("subscription", customer=customer_id)
        if subscription["status"] in {"active", "past_due", "trialing"}
    ]
    if not running:
        raise _nothing(customer_id)
    return min(running, key=lambda subscription: periods.period_of(subscription)[1])


def _of_change(session: Session, subscription: Object, details: dict[str, Any]) -> Object | None:
    """Return the invoice that a change, or else the next renewal, brings."""
    if subscription["status"] in ENDED:
        raise _nothing(subscription["customer"])
    if details.get("cancel_now"):
        return _of_end(session, subscription, details)
    if details.get("resume_at") or "pause" in details:
        return _of_pause(session, subscription, details)
    ending = subscription_ends.wishes(session, subscription, details)
    subscription_updates.check(subscription, details)
    change = subscription_changes.plan(session, subscription, details, ending)
    subscription_billing.write_items(session, subscription, change)
    if change.is_invoiced:
        return subscription_billing.draft(session, subscription, change)
    session.change(subscription, change.fields)
    if subscription["status"] not in {"active", "past_due", "trialing"}:
        return None
    return upcoming.preview_next(session, subscription)


def _of_end(session: Session, subscription: Object, details: dict[str, Any]) -> Object | None:
    if details.get("proration_behavior") != "none":
        since = details.get("proration_date") or session.now
        credited = subscription_changes.credit_unused(subscription, since)
        subscription_billing.write_items(session, subscription, credited)
    return subscription_cycle.bill_rest(session, subscription)


def _of_pause(session: Session, subscription: Object, details: dict[str, Any]) -> Object | None:
    """Return the last invoice after a pause or resumption, if that makes one."""
    before = subscription["latest_invoice"]
    if "pause" in details:
        after = subscription_pauses.pause(session, details["pause"], subscription["id"])
    else:
        after = subscription_pauses.resume(session, details, subscription["id"])
    is_new = after["latest_invoice"] != before
    return session.get("invoice", after["latest_invoice"]) if is_new else None


ROUTES = (Route("POST", "/v1/invoices/create_preview", create, _PREVIEW),)
