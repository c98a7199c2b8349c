"""The calls on payment intents."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects import charges, intents, invoices, payment_methods
from sandbox.stripe.params import PAGE, Boolean, Choice, Group, Integer, Many, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_CREATE = Group(
    {
        "amount": Integer(minimum=1),
        "automatic_payment_methods": Group(
            {"enabled": Boolean(), "allow_redirects": Choice(("always", "never"))},
            required=("enabled",),
        ),
        "confirm": Boolean(),
        "currency": Text(),
        "customer": Text(),
        "description": Text(),
        "metadata": Metadata(),
        "off_session": Boolean(),
        "payment_method": Text(),
        "allowed_payment_method_types": Many(Choice(("card",))),
        "return_url": Text(),
        "setup_future_usage": Choice(("off_session", "on_session")),
    },
    required=("amount", "currency"),
)
_CONFIRM = Group({"off_session": Boolean(), "payment_method": Text(), "return_url": Text()})
_CANCEL = Group(
    {
        "cancellation_reason": Choice(
            ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
        )
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/payment_intents."""
    customer_id = params.get("customer")
    if customer_id:
        session.get("customer", customer_id, param="customer")
    method = None
    if params.get("payment_method"):
        method = payment_methods.take(session, params["payment_method"])
        payment_methods.check_usable(method, customer_id)
    intent = intents.make(
        session,
        params["amount"],
        params["currency"].lower(),
        customer_id,
        metadata=merged({}, params.get("metadata")),
        description=params.get("description"),
        setup_future_usage=params.get("setup_future_usage"),
    )
    automatic = params.get("automatic_payment_methods")
    if automatic:
        allowed = {"allow_redirects": "always", **automatic}
        session.change(intent, {"automatic_payment_methods": allowed}, is_announced=False)
    if method is not None:
        changes = {"payment_method": method["id"], "status": "requires_confirmation"}
        session.change(intent, changes, is_announced=False)
    if params.get("confirm"):
        _confirm(session, intent, params)
    return shown(intent)


def confirm(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}/confirm."""
    intent = session.get("payment_intent", intent_id)
    if intent["status"] not in intents.OPEN:
        raise errors.invalid_request(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    return shown(_confirm(session, intent, params))


def _confirm(session: Session, intent: Object, params: dict[str, Any]) -> Object:
    method_id = params.get("payment_method") or intent["payment_method"]
    if method_id is None:
        raise errors.invalid_request(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    # Reason: a test name was turned into a card when the intent was made; that card is charged.
    is_made = intent["payment_method"] and params.get("confirm")
    method = payment_methods.take(session, intent["payment_method"] if is_made else method_id)
    payment_methods.check_usable(method, intent["customer"])
    if params.get("return_url"):
        session.change(intent, {"_return_url": params["return_url"]}, is_announced=False)
    is_off_session = params.get("off_session", False)
    charges.attempt(session, intent, method, is_off_session=is_off_session)
    if intent["_invoice"]:
        invoice = session.get("invoice", intent["_invoice"])
        invoices.after_attempt(session, invoice, intent)
    if intent["status"] == "requires_payment_method":
        invoices.refuse_unless_paid(intent, method)
    if intent["customer"] is None and not method["_is_spent"]:
        session.change(method, {"_is_spent": True}, is_announced=False)
    return intent


def cancel(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}/cancel."""
    intent = session.get("payment_intent", intent_id)
    if intent["_invoice"]:
        raise errors.invalid_request(
            "A PaymentIntent of an invoice cannot be canceled directly; void the invoice.",
            code="payment_intent_unexpected_state",
        )
    return shown(intents.cancel(session, intent, params.get("cancellation_reason")))


def retrieve(session: Session, _params: dict[str, Any], intent_id: str) -> Object:
    """GET /v1/payment_intents/{id}."""
    return shown(session.get("payment_intent", intent_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/payment_intents."""
    filters = {"customer": params["customer"]} if params.get("customer") else {}
    return page_of(session, "payment_intent", "/v1/payment_intents", params, filters)


ROUTES = (
    Route("POST", "/v1/payment_intents", create, _CREATE),
    Route(
        "GET",
        "/v1/payment_intents",
        list_all,
        Group({**PAGE, "customer": Text(), "created": Range()}),
    ),
    Route("GET", "/v1/payment_intents/{id}", retrieve, Group({"client_secret": Text()})),
    Route("POST", "/v1/payment_intents/{id}/confirm", confirm, _CONFIRM),
    Route("POST", "/v1/payment_intents/{id}/cancel", cancel, _CANCEL),
)
