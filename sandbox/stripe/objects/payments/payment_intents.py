"""The calls on payment intents."""

from typing import Any

from sandbox.stripe import amounts, errors, method_types
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.customers.addresses import SHIPPING, shipping
from sandbox.stripe.objects.invoices import invoices
from sandbox.stripe.objects.payments import captures, charges, intents
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Email,
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

AUTOMATIC_METHODS = Group(
    {"enabled": Boolean(), "allow_redirects": Choice(("always", "never"))}, required=("enabled",)
)
_CAPTURES = Choice(("automatic", "automatic_async", "manual"))
_FIELDS: dict[str, Param] = {
    "allowed_payment_method_types": Many(Choice(method_types.TYPES)),
    "capture_method": _CAPTURES,
    "payment_method": Text(),
    "payment_method_options": Group(
        {"card": Group({"request_three_d_secure": Choice(("any", "automatic", "challenge"))})}
    ),
    "receipt_email": Email(),
    "setup_future_usage": Choice(("off_session", "on_session")),
    "shipping": SHIPPING,
}
_UPDATE: dict[str, Param] = {
    **_FIELDS,
    "amount": Integer(minimum=1),
    "currency": Text(),
    "customer": Text(),
    "description": Text(),
    "metadata": Metadata(),
    "statement_descriptor": Text(max_length=22),
    "statement_descriptor_suffix": Text(max_length=22),
}
_CONFIRM: dict[str, Param] = {
    **_FIELDS,
    "error_on_requires_action": Boolean(),
    "off_session": Boolean(words=("one_off", "recurring")),
    "return_url": Text(),
    "use_stripe_sdk": Boolean(),
}
_CREATE = Group(
    {
        **_UPDATE,
        **_CONFIRM,
        "automatic_payment_methods": AUTOMATIC_METHODS,
        "confirm": Boolean(),
        "confirmation_method": Choice(("automatic", "manual")),
    },
    required=("amount", "currency"),
)
_CAPTURE = Group(
    {
        "amount_to_capture": Integer(minimum=1),
        "metadata": Metadata(),
        "statement_descriptor": Text(max_length=22),
        "statement_descriptor_suffix": Text(max_length=22),
    }
)
_CANCEL = Group(
    {
        "cancellation_reason": Choice(
            ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
        )
    }
)
_PLAIN = (
    "allowed_payment_method_types", "capture_method", "description", "receipt_email",
    "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix",
)  # fmt: skip
_ANY_TIME = {"description", "expand", "metadata", "receipt_email", "shipping"}


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/payment_intents."""
    currency = params["currency"].lower()
    amounts.check(params["amount"], currency)
    customer_id = params.get("customer")
    if customer_id:
        session.get("customer", customer_id, param="customer")
    method = _method(session, params, customer_id)
    _refuse_early_words(params)
    types = params.get("allowed_payment_method_types")
    automatic = params.get("automatic_payment_methods") or (None if types else {"enabled": True})
    intent = intents.make(
        session,
        params["amount"],
        currency,
        customer_id,
        **{
            **_changes({"metadata": {}, "payment_method_options": _options({})}, params),
            "automatic_payment_methods": automatic and {"allow_redirects": "always", **automatic},
            "capture_method": params.get("capture_method", "automatic_async"),
            "confirmation_method": params.get("confirmation_method", "automatic"),
            "payment_method": method and method["id"],
            "status": "requires_confirmation" if method else "requires_payment_method",
        },
    )
    if params.get("confirm"):
        _confirm(session, intent, method, params)
    return shown(intent)


def _refuse_early_words(params: dict[str, Any]) -> None:
    early = sorted({"error_on_requires_action", "off_session", "return_url"} & params.keys())
    if early and not params.get("confirm"):
        raise errors.bad_parameter(
            f"{early[0]} belongs to a confirmation: it goes with confirm=true.", param=early[0]
        )


def _method(session: Session, params: dict[str, Any], customer_id: str | None) -> Object | None:
    if not params.get("payment_method"):
        return None
    method = payment_methods.take(session, params["payment_method"])
    payment_methods.check_usable(method, customer_id)
    return method


def _options(wanted: dict[str, Any]) -> Object:
    card = {"installments": None, "mandate_options": None, "network": None}
    asked = wanted.get("card", {}).get("request_three_d_secure", "automatic")
    return {"card": card | {"request_three_d_secure": asked}}


def _changes(intent: Object, params: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a call's parameters change, but for card, amount and customer."""
    changes = {name: params[name] for name in _PLAIN if name in params}
    if "metadata" in params:
        changes["metadata"] = merged(intent["metadata"], params["metadata"])
    if "payment_method_options" in params:
        changes["payment_method_options"] = _options(params["payment_method_options"])
    if "shipping" in params:
        changes["shipping"] = shipping(params["shipping"])
    return changes


def update(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}."""
    intent = session.get("payment_intent", intent_id)
    late = sorted(params.keys() - _ANY_TIME)
    if late and intent["status"] not in intents.OPEN:
        raise _unexpected("update", intent, f"{late[0]} of ")
    changes = _changes(intent, params)
    currency = (params.get("currency") or intent["currency"]).lower()
    amount = params["amount"] if "amount" in params else intent["amount"]
    amounts.check(amount, currency)
    if intent["_invoice"] and (amount, currency) != (intent["amount"], intent["currency"]):
        raise errors.invalid_request(
            "The amount of an invoice's PaymentIntent cannot be changed.", param="amount"
        )
    changes |= {"amount": amount, "currency": currency}
    if params.get("customer"):
        changes["customer"] = session.get("customer", params["customer"], param="customer")["id"]
    method = _method(session, params, changes.get("customer", intent["customer"]))
    if method:
        waiting = {"status": "requires_confirmation", "next_action": None}
        changes |= {"payment_method": method["id"], **waiting}
    elif "payment_method" in params:
        changes |= {"payment_method": None, "status": "requires_payment_method"}
    return shown(session.change(intent, changes, is_announced=False))


def _unexpected(what: str, intent: Object, which: str = "") -> errors.ApiError:
    return errors.invalid_request(
        f"You cannot {what} {which}this PaymentIntent because it has a status of "
        f"{intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=shown(intent),
    )


def confirm(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}/confirm."""
    intent = session.get("payment_intent", intent_id)
    if intent["status"] not in intents.OPEN:
        raise _unexpected("confirm", intent)
    method_id = params.get("payment_method") or intent["payment_method"]
    method = payment_methods.take(session, method_id) if method_id else None
    session.change(intent, _changes(intent, params), is_announced=False)
    return shown(_confirm(session, intent, method, params))


def _confirm(
    session: Session, intent: Object, method: Object | None, params: dict[str, Any]
) -> Object:
    if method is None:
        raise errors.invalid_request(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
            payment_intent=shown(intent),
        )
    payment_methods.check_usable(method, intent["customer"])
    return_url = params.get("return_url") or intent["_return_url"]
    intents.check_way_back(intent, return_url)
    if params.get("off_session") and intent["setup_future_usage"] and not intent["_invoice"]:
        raise errors.invalid_request(
            "A payment without its customer (off_session) cannot set a card up for later.",
            code="payment_intent_invalid_parameter",
            param="off_session",
        )
    session.change(intent, {"_return_url": return_url}, is_announced=False)
    is_declined = params.get("off_session") or params.get("error_on_requires_action")
    charges.attempt(session, intent, method, is_off_session=bool(is_declined))
    if intent["_invoice"]:
        invoice = session.get("invoice", intent["_invoice"])
        invoices.after_attempt(session, invoice, intent)
    if intent["status"] == "requires_payment_method":
        invoices.refuse_unless_paid(intent, method)
    return intent


def capture(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}/capture."""
    intent = session.get("payment_intent", intent_id)
    if intent["status"] != "requires_capture":
        raise _unexpected("capture", intent)
    session.change(intent, _changes(intent, params), is_announced=False)
    wanted = params.get("amount_to_capture")
    captures.capture(session, intent, wanted, param="amount_to_capture")
    return shown(intent)


def cancel(session: Session, params: dict[str, Any], intent_id: str) -> Object:
    """POST /v1/payment_intents/{id}/cancel."""
    intent = session.get("payment_intent", intent_id)
    if intent["_invoice"]:
        raise errors.invalid_request(
            "A PaymentIntent of an invoice cannot be canceled directly; void the invoice.",
            code="payment_intent_unexpected_state",
        )
    return shown(captures.cancel(session, intent, params.get("cancellation_reason")))


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
    Route("POST", "/v1/payment_intents/{id}", update, Group(_UPDATE)),
    Route(
        "POST",
        "/v1/payment_intents/{id}/confirm",
        confirm,
        Group({**_CONFIRM, "client_secret": Text()}),
    ),
    Route("POST", "/v1/payment_intents/{id}/capture", capture, _CAPTURE),
    Route("POST", "/v1/payment_intents/{id}/cancel", cancel, _CANCEL),
)
