"""The calls on charges."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers.addresses import SHIPPING, shipping
from sandbox.stripe.objects.payments import captures
from sandbox.stripe.params import PAGE, Choice, Group, Integer, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_UPDATE = Group(
    {
        "description": Text(),
        "fraud_details": Group({"user_report": Choice(("fraudulent", "safe"))}),
        "metadata": Metadata(),
        "receipt_email": Text(),
        "shipping": SHIPPING,
    }
)


def retrieve(session: Session, _params: dict[str, Any], charge_id: str) -> Object:
    """GET /v1/charges/{id}."""
    return shown(session.get("charge", charge_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/charges."""
    filters = {name: params[name] for name in ("customer", "payment_intent") if params.get(name)}
    return page_of(session, "charge", "/v1/charges", params, filters)


def update(session: Session, params: dict[str, Any], charge_id: str) -> Object:
    """POST /v1/charges/{id}."""
    charge = session.get("charge", charge_id)
    names = ("description", "fraud_details", "receipt_email")
    changes = {name: params[name] for name in names if name in params}
    if "shipping" in params:
        changes["shipping"] = shipping(params["shipping"])
    if "metadata" in params:
        changes["metadata"] = merged(charge["metadata"], params["metadata"])
    return shown(session.change(charge, changes))


def capture(session: Session, params: dict[str, Any], charge_id: str) -> Object:
    """POST /v1/charges/{id}/capture."""
    charge = session.get("charge", charge_id)
    intent = session.get("payment_intent", charge["payment_intent"])
    if charge["captured"] or intent["status"] != "requires_capture":
        raise errors.invalid_request(
            f"Charge {charge_id} has already been captured or let go.",
            code="charge_already_captured",
        )
    captures.capture(session, intent, params.get("amount"), param="amount")
    return shown(session.get("charge", charge_id))


ROUTES = (
    Route("GET", "/v1/charges/{id}", retrieve),
    Route(
        "GET",
        "/v1/charges",
        list_all,
        Group({**PAGE, "customer": Text(), "payment_intent": Text(), "created": Range()}),
    ),
    Route("POST", "/v1/charges/{id}", update, _UPDATE),
    Route("POST", "/v1/charges/{id}/capture", capture, Group({"amount": Integer(minimum=1)})),
)
