"""Setup intents: a card is kept for later without being charged."""

from typing import Any

from sandbox.stripe import cards, errors
from sandbox.stripe.objects import payment_methods
from sandbox.stripe.params import PAGE, Boolean, Choice, Group, Many, Metadata, Param, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_CONFIRM: dict[str, Param] = {"payment_method": Text(), "return_url": Text()}
_CREATE = Group(
    {
        **_CONFIRM,
        "automatic_payment_methods": Group(
            {"enabled": Boolean(), "allow_redirects": Choice(("always", "never"))},
            required=("enabled",),
        ),
        "confirm": Boolean(),
        "customer": Text(),
        "description": Text(),
        "metadata": Metadata(),
        "allowed_payment_method_types": Many(Choice(("card",))),
        "usage": Choice(("off_session", "on_session")),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/setup_intents."""
    customer_id = params.get("customer")
    if customer_id:
        session.get("customer", customer_id, param="customer")
    method = None
    if params.get("payment_method"):
        method = payment_methods.take(session, params["payment_method"])
        payment_methods.check_usable(method, customer_id)
    automatic = params.get("automatic_payment_methods")
    intent_id = new_id("seti")
    intent: Object = {
        "id": intent_id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": automatic and {"allow_redirects": "always", **automatic},
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_{new_id('secret')}",
        "created": session.now,
        "customer": customer_id,
        "customer_account": None,
        "description": params.get("description"),
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
        "payment_method_options": {
            "card": {
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_confirmation" if method else "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }
    session.create(intent, event="setup_intent.created")
    if params.get("confirm"):
        _confirm(session, intent, method)
    return shown(intent)


def confirm(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/setup_intents/{id}/confirm."""
    intent = session.get("setup_intent", intent_id)
    if intent["status"] in {"succeeded", "canceled"}:
        raise errors.invalid_request(
            f"You cannot confirm this SetupIntent because it has a status of {intent['status']}.",
            code="setup_intent_unexpected_state",
        )
    method_id = params.get("payment_method") or intent["payment_method"]
    method = payment_methods.take(session, method_id) if method_id else None
    return shown(_confirm(session, intent, method))


def _confirm(session: Session, intent: Object, method: Object | None) -> Object:
    if method is None:
        raise errors.invalid_request(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            code="setup_intent_unexpected_state",
        )
    payment_methods.check_usable(method, intent["customer"])
    if not method["_is_attachable"]:
        failure = cards.failure_of(method["_script"][0]) | {"payment_method": shown(method)}
        failure = {name: value for name, value in failure.items() if value is not None}
        changes: dict[str, Any] = {
            "status": "requires_payment_method",
            "last_setup_error": failure,
            "payment_method": None,
        }
        session.change(intent, changes, is_announced=False)
        session.emit("setup_intent.setup_failed", intent)
        raise errors.card_error(failure, setup_intent=shown(intent))
    changes = {"status": "succeeded", "payment_method": method["id"], "last_setup_error": None}
    session.change(intent, changes, is_announced=False)
    session.emit("setup_intent.succeeded", intent)
    if intent["customer"] and method["customer"] is None:
        session.change(method, {"customer": intent["customer"]}, is_announced=False)
        session.emit("payment_method.attached", method)
    return intent


def retrieve(session: Session, _params: dict[str, Any], intent_id: str) -> Object:
    """GET /v1/setup_intents/{id}."""
    return shown(session.get("setup_intent", intent_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/setup_intents."""
    filters = {name: params[name] for name in ("customer", "payment_method") if params.get(name)}
    return page_of(session, "setup_intent", "/v1/setup_intents", params, filters)


ROUTES = (
    Route("POST", "/v1/setup_intents", create, _CREATE),
    Route(
        "GET",
        "/v1/setup_intents",
        list_all,
        Group({**PAGE, "customer": Text(), "payment_method": Text()}),
    ),
    Route("GET", "/v1/setup_intents/{id}", retrieve, Group({"client_secret": Text()})),
    Route("POST", "/v1/setup_intents/{id}/confirm", confirm, Group(_CONFIRM)),
)
