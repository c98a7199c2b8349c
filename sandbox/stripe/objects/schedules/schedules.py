"""The calls on subscription schedules."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.schedules import (
    schedule_ends,
    schedule_params,
    schedule_phases,
    schedule_progress,
    schedule_shape,
)
from sandbox.stripe.objects.schedules.schedule_ends import KIND, RUNNING
from sandbox.stripe.objects.subscriptions import subscription_ends, subscription_updates
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_URL = "/v1/subscription_schedules"
_ALONE = frozenset(("expand", "from_subscription"))
_AFTER_END = frozenset(("expand", "metadata"))


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/subscription_schedules."""
    if params.get("from_subscription"):
        return _of_running(session, params)
    for name in ("customer", "phases"):
        if not params.get(name):
            raise errors.bad_parameter(
                f"Missing required param: {name}.", code="parameter_missing", param=name
            )
    customer = session.get("customer", params["customer"], param="customer")
    start = params.get("start_date", "now")
    start = session.now if start == "now" else start
    schedule_phases.check_start(session, start, param="start_date")
    _check_settings(session, customer["id"], params)
    phases = schedule_phases.plan(session, customer["id"], params["phases"], start)
    currency = phases[0]["currency"]
    customer_currency.check(session, customer["id"], currency)
    customer_currency.use(session, customer, currency, is_new=True)
    schedule = schedule_shape.schedule(session, customer["id"], params, phases)
    session.create(schedule)
    schedule_progress.proceed(session, schedule)
    return _announced(session, schedule)


def _of_running(session: Session, params: dict[str, Any]) -> Object:
    """Put a running subscription under a schedule, which begins with its present period."""
    for name in sorted(params.keys() - _ALONE):
        raise errors.invalid_request(
            f"You cannot set `{name}` if `from_subscription` is set.", param=name
        )
    param = "from_subscription"
    subscription = session.get("subscription", params[param], param=param)
    if subscription["schedule"] is not None:
        raise errors.invalid_request(
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"{subscription['schedule']}.",
            param=param,
        )
    if subscription["status"] not in {"active", "past_due", "trialing", "unpaid"}:
        raise errors.invalid_request(
            f"You cannot migrate a subscription that is {subscription['status']}.", param=param
        )
    phase = schedule_shape.phase_of(subscription)
    end_behavior = "cancel" if subscription["cancel_at"] else "release"
    wanted = {"end_behavior": end_behavior}
    schedule = schedule_shape.schedule(session, subscription["customer"], wanted, [phase])
    schedule |= {
        "current_phase": schedule_shape.span(phase),
        "default_settings": schedule_shape.settings_of(subscription),
        "status": "active",
        "subscription": subscription["id"],
    }
    session.create(schedule)
    session.change(subscription, {"schedule": schedule["id"]})
    schedule_progress.set_timers(session, schedule)
    return _announced(session, schedule)


def _announced(session: Session, schedule: Object) -> Object:
    session.change(schedule, {"_is_announced": True}, is_announced=False)
    session.emit(f"{KIND}.created", schedule)
    return shown(schedule)


def _check_settings(session: Session, customer_id: str, params: dict[str, Any]) -> None:
    method_id = params.get("default_settings", {}).get("default_payment_method")
    if method_id:
        param = "default_settings[default_payment_method]"
        own_method(session, customer_id, method_id, param=param)


def retrieve(session: Session, _params: dict[str, Any], schedule_id: str) -> Object:
    """GET /v1/subscription_schedules/{id}."""
    return shown(session.get(KIND, schedule_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/subscription_schedules."""
    customer = params.get("customer")
    filters: dict[str, Any] = {"customer": customer} if customer else {"test_clock": None}
    if params.get("scheduled"):
        filters["status"] = "not_started"
    return page_of(session, KIND, _URL, params, filters)


def update(session: Session, params: dict[str, Any], schedule_id: str) -> Object:
    """POST /v1/subscription_schedules/{id}."""
    schedule = session.get(KIND, schedule_id)
    if params.keys() - _AFTER_END:
        _check_running(schedule, "update")
    _check_settings(session, schedule["customer"], params)
    before = dict(schedule)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(schedule["metadata"], params["metadata"])
    if "end_behavior" in params:
        changes["end_behavior"] = params["end_behavior"]
    if "default_settings" in params:
        wanted = params["default_settings"]
        changes["default_settings"] = schedule_shape.settings(schedule["default_settings"], wanted)
    if "phases" in params:
        changes["phases"] = schedule_phases.revised(session, schedule, params["phases"])
        currency = changes["phases"][0]["currency"]
        customer_currency.check(session, schedule["customer"], currency)
    session.change(schedule, changes)
    if changes.keys() - {"metadata"}:
        behavior = params.get("proration_behavior", "create_prorations")
        schedule_progress.adjust(session, schedule, before, behavior)
    return shown(session.get(KIND, schedule_id))


def _check_running(schedule: Object, what: str) -> None:
    if schedule["status"] not in RUNNING:
        raise errors.invalid_request(
            f"You cannot {what} a subscription schedule that is currently in the "
            f"`{schedule['status']}` status."
        )


def release(session: Session, params: dict[str, Any], schedule_id: str) -> Object:
    """POST /v1/subscription_schedules/{id}/release."""
    schedule = session.get(KIND, schedule_id)
    _check_running(schedule, "release")
    if schedule["subscription"] is None:
        schedule_ends.finish(session, schedule, "released")
        return shown(schedule)
    subscription = schedule_ends.detach(session, schedule, "released")
    is_ending = schedule["end_behavior"] == "cancel" and subscription["cancel_at"] is not None
    if is_ending and not params.get("preserve_cancel_date"):
        subscription_updates.change(session, subscription, {"cancel_at": None})
    return shown(schedule)


def cancel(session: Session, params: dict[str, Any], schedule_id: str) -> Object:
    """POST /v1/subscription_schedules/{id}/cancel: its subscription goes with it."""
    schedule = session.get(KIND, schedule_id)
    _check_running(schedule, "cancel")
    if schedule["subscription"] is None:
        schedule_ends.finish(session, schedule, "canceled")
    else:
        wanted = {name: params.get(name, True) for name in ("invoice_now", "prorate")}
        subscription_ends.cancel(session, wanted, schedule["subscription"])
    return shown(session.get(KIND, schedule_id))


ROUTES = (
    Route("POST", _URL, create, schedule_params.CREATE),
    Route("GET", _URL, list_all, schedule_params.LIST),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, schedule_params.UPDATE),
    Route("POST", f"{_URL}/{{id}}/release", release, schedule_params.RELEASE),
    Route("POST", f"{_URL}/{{id}}/cancel", cancel, schedule_params.CANCEL),
)
