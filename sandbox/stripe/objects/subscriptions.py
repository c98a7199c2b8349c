"""The calls on subscriptions."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import period_end
from sandbox.stripe.objects import invoices, subscription_cycle, subscription_shape
from sandbox.stripe.objects.customers import own_method
from sandbox.stripe.objects.subscription_status import ENDED
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_STATUSES = (
    "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing",
    "unpaid",
)  # fmt: skip
_TRIAL_SETTINGS = Group(
    {
        "end_behavior": Group(
            {"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))},
            required=("missing_payment_method",),
        )
    },
    required=("end_behavior",),
)
_BOTH: dict[str, Param] = {
    "cancel_at": Integer(is_unsettable=True, words=("max_period_end", "min_period_end")),
    "cancel_at_period_end": Boolean(),
    "default_payment_method": Text(),
    "description": Text(),
    "metadata": Metadata(),
    "off_session": Boolean(),
    "payment_settings": Group({"save_default_payment_method": Choice(("off", "on_subscription"))}),
    "trial_settings": _TRIAL_SETTINGS,
}
_CREATE = Group(
    {
        **_BOTH,
        "billing_mode": Group({"type": Choice(("flexible",))}, required=("type",)),
        "collection_method": Choice(("charge_automatically",)),
        "currency": Text(),
        "customer": Text(),
        "items": Many(
            Group({"price": Text(), "quantity": Integer(minimum=0)}, required=("price",))
        ),
        "payment_behavior": Choice(
            ("allow_incomplete", "default_incomplete", "error_if_incomplete")
        ),
        "proration_behavior": Choice(("always_invoice", "create_prorations", "none")),
        "trial_end": Integer(words=("now",)),
        "trial_period_days": Integer(minimum=0),
    },
    required=("customer", "items"),
)
_UPDATE = Group(
    {
        **_BOTH,
        "cancellation_details": Group({"comment": Text(), "feedback": Text()}),
        "proration_behavior": Choice(("always_invoice", "create_prorations", "none")),
    }
)
_LIST = Group(
    {
        **PAGE,
        "created": Range(),
        "customer": Text(),
        "price": Text(),
        "status": Choice((*_STATUSES, "all", "ended")),
        "test_clock": Text(),
    }
)
_CANCEL = Group(
    {
        "cancellation_details": Group({"comment": Text(), "feedback": Text()}),
        "invoice_now": Boolean(),
        "prorate": Boolean(),
    }
)
_RESUME = Group(
    {
        "billing_cycle_anchor": Group({"type": Choice(("now",))}, required=("type",)),
        "payment_behavior": Choice(("resume_on_payment_attempt", "resume_on_payment_success")),
        "proration_behavior": Choice(("always_invoice", "create_prorations", "none")),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/subscriptions."""
    customer = session.get("customer", params["customer"], param="customer")
    prices = _prices(session, params["items"])
    if params.get("default_payment_method"):
        param = "default_payment_method"
        own_method(session, customer["id"], params[param], param=param)
    trial_end = _trial_end(session, params)
    recurring = prices[0][0]["recurring"]
    first_end = trial_end or period_end(
        session.now, recurring["interval"], recurring["interval_count"]
    )
    subscription = subscription_shape.subscription(
        session,
        params,
        prices,
        anchor=trial_end or session.now,
        period_end=first_end,
        trial_end=trial_end,
    )
    _require_card(customer, subscription, params)
    session.create(subscription)
    session.schedule("cycle", subscription["id"], first_end)
    if customer["currency"] is None:
        session.change(customer, {"currency": subscription["currency"]})
    wishes = _cancellation(session, subscription, params)
    session.change(subscription, wishes, is_announced=False)
    _bill_first(session, subscription, params)
    return shown(session.get("subscription", subscription["id"]))


def _prices(session: Session, items: list[dict[str, Any]]) -> list[tuple[Object, int]]:
    prices = []
    for number, item in enumerate(items):
        param = f"items[{number}][price]"
        price = session.get("price", item["price"], param=param)
        if not price["active"]:
            raise errors.invalid_request(
                f"The price specified is inactive: {price['id']}.", param=param
            )
        if price["recurring"] is None:
            raise errors.invalid_request(
                "The price specified is set to `type=one_time` but this field only accepts prices "
                "with `type=recurring`.",
                param=param,
            )
        prices.append((price, item.get("quantity", 1)))
    kinds = {
        (p["currency"], p["recurring"]["interval"], p["recurring"]["interval_count"])
        for p, _ in prices
    }
    if len(kinds) != 1:
        raise errors.invalid_request(
            "All items need prices of one currency and interval.", param="items"
        )
    return prices


def _trial_end(session: Session, params: dict[str, Any]) -> int | None:
    trial_end = params.get("trial_end")
    if trial_end == "now":
        return None
    if trial_end is not None and trial_end <= session.now:
        raise errors.invalid_request("Invalid timestamp: must be in the future", param="trial_end")
    days = params.get("trial_period_days") or 0
    return trial_end or (session.now + days * subscription_cycle.DAY if days else None)


def _require_card(customer: Object, subscription: Object, params: dict[str, Any]) -> None:
    """Refuse, as Stripe does, to charge at once where there is nothing to charge."""
    has_card = (
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )
    amount = sum(i["price"]["unit_amount"] * i["quantity"] for i in subscription["items"]["data"])
    is_waiting = params.get("payment_behavior") == "default_incomplete"
    if has_card or is_waiting or amount == 0 or subscription["trial_end"]:
        return
    raise errors.invalid_request(
        "This customer has no attached payment source or default payment method. "
        "Please consider adding a default payment method.",
        code="resource_missing",
    )


def _bill_first(session: Session, subscription: Object, params: dict[str, Any]) -> None:
    """Make the first invoice, charge it if asked to, and announce the subscription."""
    behavior = params.get("payment_behavior", "allow_incomplete")
    period = (session.now, session.now)
    reason = "subscription_create"
    invoice = invoices.create_draft(session, subscription, reason=reason, period=period)
    changes = {"latest_invoice": invoice["id"]}
    session.change(subscription, changes, is_announced=False)
    invoices.finalize(session, invoice)
    method = invoices.default_method(session, invoice)
    if invoice["status"] == "open" and behavior != "default_incomplete":
        is_off_session = params.get("off_session", False)
        intent = invoices.collect(session, invoice, method, is_off_session=is_off_session)
        if behavior == "error_if_incomplete" and intent and method:
            _undo_unless_paid(session, subscription, invoice, intent, method)
    _announce(session, subscription["id"])


def _undo_unless_paid(
    session: Session, subscription: Object, invoice: Object, intent: Object, method: Object
) -> None:
    if intent["status"] != "succeeded":
        payments = session.find("invoice_payment", invoice=invoice["id"])
        session.withdraw(subscription["id"], invoice["id"], *[p["id"] for p in payments])
    invoices.refuse_unless_paid(intent, method)


def _announce(session: Session, subscription_id: str) -> None:
    subscription = session.get("subscription", subscription_id)
    session.change(subscription, {"_is_announced": True}, is_announced=False)
    session.emit("customer.subscription.created", subscription)
    if subscription["status"] == "incomplete":
        due_at = session.now + subscription_cycle.INCOMPLETE_LIFETIME
        session.schedule("expire_incomplete", subscription_id, due_at)
    if subscription["trial_end"]:
        notice_at = subscription["trial_end"] - subscription_cycle.TRIAL_NOTICE
        if notice_at <= session.now:
            session.emit("customer.subscription.trial_will_end", subscription)
        else:
            session.schedule("trial_will_end", subscription_id, notice_at)


def retrieve(session: Session, _params: dict[str, Any], subscription_id: str) -> Object:
    """GET /v1/subscriptions/{id}."""
    return shown(session.get("subscription", subscription_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/subscriptions."""
    if params.get("customer"):
        filters: dict[str, Any] = {"customer": params["customer"]}
    else:
        filters = {"test_clock": params.get("test_clock")}
    status = params.get("status")
    if status == "ended":
        filters["status"] = list(ENDED)
    elif status is None:
        filters["status"] = [name for name in _STATUSES if name != "canceled"]
    elif status != "all":
        filters["status"] = status
    if params.get("price"):
        filters["items.data[0].price.id"] = params["price"]
    return page_of(session, "subscription", "/v1/subscriptions", params, filters)


def update(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] in ENDED and set(params) - {
        "cancellation_details", "expand", "metadata",
    }:  # fmt: skip
        raise errors.invalid_request(
            "A canceled subscription can only update its cancellation_details and metadata."
        )
    changes: dict[str, Any] = {}
    if "default_payment_method" in params:
        method_id = params["default_payment_method"]
        if method_id:
            param = "default_payment_method"
            own_method(session, subscription["customer"], method_id, param=param)
        changes["default_payment_method"] = method_id
    if "description" in params:
        changes["description"] = params["description"]
    if "metadata" in params:
        changes["metadata"] = merged(subscription["metadata"], params["metadata"])
    if "trial_settings" in params:
        changes["trial_settings"] = params["trial_settings"]
    if "payment_settings" in params:
        settings = subscription["payment_settings"] | params["payment_settings"]
        changes["payment_settings"] = settings
    changes |= _cancellation(session, subscription, params)
    return shown(session.change(subscription, changes))


def _cancellation(session: Session, subscription: Object, params: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a wish to end, or not to end, changes."""
    details = {**subscription["cancellation_details"], **params.get("cancellation_details", {})}
    wants_end = params.get("cancel_at_period_end")
    cancel_at = params.get("cancel_at")
    period = subscription_cycle.period_of(subscription)
    if wants_end or cancel_at is not None:
        due_at = period[1] if wants_end or isinstance(cancel_at, str) else int(cancel_at or 0)
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
        nothing = {"comment": None, "feedback": None, "reason": None}
        return {**cleared, "cancellation_details": nothing} if is_planned else {}
    return {"cancellation_details": details}


def cancel(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """DELETE /v1/subscriptions/{id}."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] in ENDED:
        raise errors.missing("subscription", subscription_id)
    details = {**subscription["cancellation_details"], **params.get("cancellation_details", {})}
    details["reason"] = "cancellation_requested"
    return shown(
        subscription_cycle.end(
            session, subscription, cancellation_details=details, canceled_at=session.now
        )
    )


def pause(session: Session, _params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}/pause."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] not in {"active", "past_due", "unpaid", "trialing"}:
        raise errors.invalid_request(
            f"A subscription that is {subscription['status']} cannot be paused."
        )
    subscription_cycle.pause(session, subscription, "pause_requested")
    return shown(session.get("subscription", subscription_id))


def resume(session: Session, params: dict[str, Any], subscription_id: str) -> Object:
    """POST /v1/subscriptions/{id}/resume."""
    subscription = session.get("subscription", subscription_id)
    if subscription["status"] != "paused":
        raise errors.invalid_request(
            f"Only a paused subscription can be resumed; this one is {subscription['status']}."
        )
    interval, count = subscription_cycle.recurring_of(subscription)
    end_at = period_end(session.now, interval, count)
    period = subscription_cycle.period_of(subscription)
    changes: dict[str, Any] = {
        "billing_cycle_anchor": session.now,
        "items": subscription_cycle.enter_period(subscription, session.now, end_at),
        "_cycle": 1,
    }
    wanted = {**subscription, **changes}
    reason = "subscription_update"
    invoice = invoices.create_draft(session, wanted, reason=reason, period=(period[0], session.now))
    session.change(subscription, {**changes, "latest_invoice": invoice["id"]})
    session.schedule("cycle", subscription_id, end_at)
    invoices.finalize(session, invoice)
    if invoice["status"] == "open":
        _collect_resumption(session, subscription_id, invoice, params)
    return shown(session.get("subscription", subscription_id))


def _collect_resumption(
    session: Session, subscription_id: str, invoice: Object, params: dict[str, Any]
) -> None:
    waits = params.get("payment_behavior") == "resume_on_payment_success"
    if not waits:
        fresh = session.get("subscription", subscription_id)
        session.change(fresh, {"status": "active", "status_details": None})
        session.emit("customer.subscription.resumed", fresh)
    method = invoices.default_method(session, invoice)
    invoices.collect(session, invoice, method, is_off_session=False)
    if waits and invoice["status"] == "open":
        due_at = session.now + subscription_cycle.INCOMPLETE_LIFETIME
        session.schedule("void_resumption", invoice["id"], due_at)


ROUTES = (
    Route("POST", "/v1/subscriptions", create, _CREATE),
    Route("GET", "/v1/subscriptions", list_all, _LIST),
    Route("GET", "/v1/subscriptions/{id}", retrieve),
    Route("POST", "/v1/subscriptions/{id}", update, _UPDATE),
    Route("DELETE", "/v1/subscriptions/{id}", cancel, _CANCEL),
    Route("POST", "/v1/subscriptions/{id}/pause", pause),
    Route("POST", "/v1/subscriptions/{id}/resume", resume, _RESUME),
)
