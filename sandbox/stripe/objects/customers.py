"""Customers."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects import payment_methods
from sandbox.stripe.params import PAGE, Group, Metadata, Param, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_TEXTS = ("description", "email", "name", "phone")
_FIELDS: dict[str, Param] = {
    **{name: Text() for name in _TEXTS},
    "invoice_settings": Group({"default_payment_method": Text()}),
    "metadata": Metadata(),
}


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/customers."""
    settings = {
        "custom_fields": None,
        "default_payment_method": None,
        "footer": None,
        "rendering_options": None,
    }
    customer_id = new_id("cus")
    body: Object = {
        "id": customer_id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": session.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": customer_id[-8:].upper(),
        "invoice_settings": settings,
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    if params.get("payment_method"):
        method = payment_methods.take(session, params["payment_method"], param="payment_method")
        session.create(body, event="customer.created")
        payment_methods.own(session, method, customer_id)
        return shown(body)
    _check_default(session, body, params)
    return shown(session.create(body, event="customer.created"))


def _check_default(session: Session, customer: Object, params: dict[str, Any]) -> None:
    settings = params.get("invoice_settings", {})
    if "default_payment_method" not in settings:
        return
    method_id = settings["default_payment_method"]
    if method_id:
        path = "invoice_settings[default_payment_method]"
        own_method(session, customer["id"], method_id, param=path)
    customer["invoice_settings"] = customer["invoice_settings"] | settings


def own_method(session: Session, customer_id: str, method_id: str, *, param: str) -> Object:
    """Return a payment method that is attached to this customer.

    Raises:
        ApiError: If it is unknown, unattached or somebody else's.
    """
    method = session.get("payment_method", method_id, param=param)
    if method["customer"] != customer_id:
        raise errors.invalid_request(
            f"The customer does not have a payment method with the ID {method_id}. "
            "The payment method must be attached to the customer.",
            code="resource_missing",
            param=param,
        )
    return method


def retrieve(session: Session, _params: dict[str, Any], customer_id: str) -> Object:
    """GET /v1/customers/{id}."""
    return shown(session.get("customer", customer_id))


def update(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """POST /v1/customers/{id}."""
    customer = session.get("customer", customer_id)
    wanted = dict(customer)
    _check_default(session, wanted, params)
    changes = {name: params[name] for name in _TEXTS if name in params}
    changes["invoice_settings"] = wanted["invoice_settings"]
    if "metadata" in params:
        changes["metadata"] = merged(customer["metadata"], params["metadata"])
    return shown(session.change(customer, changes))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/customers."""
    filters = {"email": params["email"]} if params.get("email") else {}
    return page_of(session, "customer", "/v1/customers", params, filters)


ROUTES = (
    Route("POST", "/v1/customers", create, Group({**_FIELDS, "payment_method": Text()})),
    Route("GET", "/v1/customers", list_all, Group({**PAGE, "email": Text(), "created": Range()})),
    Route("GET", "/v1/customers/{id}", retrieve),
    Route("POST", "/v1/customers/{id}", update, Group(_FIELDS)),
)
