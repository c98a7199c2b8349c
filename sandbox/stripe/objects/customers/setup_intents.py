"""The calls on setup intents."""

from typing import Any

from sandbox.stripe import errors, method_types
from sandbox.stripe.objects.customers import payment_methods, setups
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.objects.payments.payment_intents import AUTOMATIC_METHODS
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Many,
    Metadata,
    Param,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_FIELDS: dict[str, Param] = {
    "allowed_payment_method_types": Many(Choice(method_types.TYPES)),
    "payment_method": Text(),
    "payment_method_options": Group(
        {"card": Group({"request_three_d_secure": Choice(("any", "automatic", "challenge"))})}
    ),
}
_UPDATE: dict[str, Param] = {
    **_FIELDS,
    "customer": Text(),
    "description": Text(),
    "metadata": Metadata(),
}
_CONFIRM: dict[str, Param] = {**_FIELDS, "return_url": Text(), "use_stripe_sdk": Boolean()}
_CREATE = Group(
    {
        **_UPDATE,
        **_CONFIRM,
        "automatic_payment_methods": AUTOMATIC_METHODS,
        "confirm": Boolean(),
        "usage": Choice(("off_session", "on_session")),
    }
)
_CANCEL = Group(
    {"cancellation_reason": Choice(("abandoned", "duplicate", "requested_by_customer"))}
)
_LIST = Group({**PAGE, "created": Range(), "customer": Text(), "payment_method": Text()})


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/setup_intents."""
    customer_id = params.get("customer")
    if customer_id:
        session.get("customer", customer_id, param="customer")
    method = _method(session, params, customer_id)
    if params.get("return_url") and not params.get("confirm"):
        raise errors.bad_parameter(
            "return_url belongs to a confirmation: it goes with confirm=true.", param="return_url"
        )
    intent = session.create(_body(session, params, method), event="setup_intent.created")
    if params.get("confirm"):
        _confirm(session, intent, method)
    return shown(intent)


def of_subscription(session: Session, subscription: Object) -> Object:
    """Make the intent by which a subscription that costs nothing yet gets its card."""
    body = _body(session, {"customer": subscription["customer"]}, None)
    return session.create(
        body | {"_subscription": subscription["id"]}, event="setup_intent.created"
    )


def _body(session: Session, params: dict[str, Any], method: Object | None) -> Object:
    types = params.get("allowed_payment_method_types")
    automatic = params.get("automatic_payment_methods") or (None if types else {"enabled": True})
    intent_id = new_id("seti")
    return {
        "id": intent_id,
        "object": "setup_intent",
        "allowed_payment_method_types": types,
        "application": None,
        "automatic_payment_methods": automatic and {"allow_redirects": "always", **automatic},
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_{new_id('secret')}",
        "created": session.default_now,
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": merged({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": method and method["id"],
        "payment_method_configuration_details": None,
        "payment_method_options": _options(params.get("payment_method_options", {})),
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_confirmation" if method else "requires_payment_method",
        "usage": params.get("usage", "off_session"),
        "_return_url": params.get("return_url"),
        "_subscription": None,
    }


def _options(wanted: dict[str, Any]) -> Object:
    asked = wanted.get("card", {}).get("request_three_d_secure", "automatic")
    card = {"mandate_options": None, "network": None, "request_three_d_secure": asked}
    return {"card": card}


def _method(session: Session, params: dict[str, Any], customer_id: str | None) -> Object | None:
    if not params.get("payment_method"):
        return None
    method = payment_methods.take(session, params["payment_method"])
    payment_methods.check_usable(method, customer_id)
    return method


def _open(session: Session, intent_id: str, what: str) -> Object:
    intent = session.get("setup_intent", intent_id)
    if intent["status"] not in setups.OPEN:
        raise errors.invalid_request(
            f"You cannot {what} this SetupIntent because it has a status of {intent['status']}.",
            code="setup_intent_unexpected_state",
            setup_intent=shown(intent),
        )
    return intent


def update(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/setup_intents/{id}."""
    intent = _open(session, intent_id, "update")
    changes: dict[str, Any] = {}
    if "description" in params:
        changes["description"] = params["description"]
    if "metadata" in params:
        changes["metadata"] = merged(intent["metadata"], params["metadata"])
    if "payment_method_options" in params:
        changes["payment_method_options"] = _options(params["payment_method_options"])
    if params.get("customer"):
        changes["customer"] = session.get("customer", params["customer"], param="customer")["id"]
    method = _method(session, params, changes.get("customer", intent["customer"]))
    if method:
        waiting = {"status": "requires_confirmation", "next_action": None}
        changes |= {"payment_method": method["id"], **waiting}
    return shown(session.change(intent, changes, is_announced=False))


def confirm(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/setup_intents/{id}/confirm."""
    intent = _open(session, intent_id, "confirm")
    changes: dict[str, Any] = {"_return_url": params.get("return_url") or intent["_return_url"]}
    if "payment_method_options" in params:
        changes["payment_method_options"] = _options(params["payment_method_options"])
    session.change(intent, changes, is_announced=False)
    method_id = params.get("payment_method") or intent["payment_method"]
    method = payment_methods.take(session, method_id) if method_id else None
    _confirm(session, intent, method)
    return shown(intent)


def _confirm(session: Session, intent: Object, method: Object | None) -> None:
    if method is None:
        raise errors.invalid_request(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            code="setup_intent_unexpected_state",
            setup_intent=shown(intent),
        )
    intents.check_way_back(intent, intent["_return_url"])
    asked = intent["payment_method_options"]["card"]["request_three_d_secure"]
    setups.confirm(session, intent, method, is_asked=asked != "automatic")


def cancel(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/setup_intents/{id}/cancel."""
    intent = _open(session, intent_id, "cancel")
    reason = params.get("cancellation_reason")
    changes = {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    session.change(intent, changes, is_announced=False)
    session.emit("setup_intent.canceled", intent)
    return shown(intent)


def retrieve(session: Session, _params: dict[str, Any], intent_id: str) -> Object:
    """GET /v1/setup_intents/{id}."""
    return shown(session.get("setup_intent", intent_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/setup_intents."""
    filters = {name: params[name] for name in ("customer", "payment_method") if params.get(name)}
    return page_of(session, "setup_intent", "/v1/setup_intents", params, filters)


ROUTES = (
    Route("POST", "/v1/setup_intents", create, _CREATE),
    Route("GET", "/v1/setup_intents", list_all, _LIST),
    Route("GET", "/v1/setup_intents/{id}", retrieve, Group({"client_secret": Text()})),
    Route("POST", "/v1/setup_intents/{id}", update, Group(_UPDATE)),
    Route(
        "POST",
        "/v1/setup_intents/{id}/confirm",
        confirm,
        Group({**_CONFIRM, "client_secret": Text()}),
    ),
    Route("POST", "/v1/setup_intents/{id}/cancel", cancel, _CANCEL),
)
