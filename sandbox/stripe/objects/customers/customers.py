"""Customers."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import addresses, customer_balance, payment_methods
from sandbox.stripe.params import (
    PAGE,
    Choice,
    Email,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Text,
    Unsettable,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_TEXTS = ("description", "email", "name", "phone")
_PLAIN = ("next_invoice_sequence", "preferred_locales", "tax_exempt")
_SHIPPING = Group(
    {"address": addresses.ADDRESS, "name": Text(), "phone": Text()}, ("address", "name")
)
_MAX_ON_CLOCK = 3
_FIELDS: dict[str, Param] = {
    "description": Text(),
    "email": Email(),
    "name": Text(256),
    "phone": Text(20),
    "address": Unsettable(addresses.ADDRESS),
    "balance": Integer(),
    "invoice_prefix": Text(max_length=12),
    "invoice_settings": Group(
        {
            "custom_fields": Many(Group({"name": Text(40), "value": Text(140)}, ("name", "value"))),
            "default_payment_method": Text(),
            "footer": Text(),
        }
    ),
    "metadata": Metadata(),
    "next_invoice_sequence": Integer(minimum=1),
    "preferred_locales": Many(Text()),
    "shipping": Unsettable(_SHIPPING),
    "tax_exempt": Choice(("exempt", "none", "reverse")),
}


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/customers."""
    bound = _bound_clock(session, params)
    if params.get("test_clock") or bound:
        _join_clock(session, params.get("test_clock") or bound)
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
        "address": addresses.address(params.get("address")),
        "balance": 0,
        "created": session.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": params.get("invoice_prefix") or customer_id[-8:].upper(),
        "invoice_settings": settings,
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "name": params.get("name"),
        "next_invoice_sequence": params.get("next_invoice_sequence", 1),
        "phone": params.get("phone"),
        "preferred_locales": params.get("preferred_locales", []),
        "shipping": addresses.shipping(params.get("shipping")),
        "tax_exempt": params.get("tax_exempt", "none"),
        "test_clock": None,
    }
    if params.get("payment_method"):
        _create_with_card(session, body, params)
    else:
        _check_default(session, body, params)
        session.create(body, event="customer.created")
    if params.get("balance"):
        customer = session.get("customer", customer_id)
        customer_balance.move(session, customer, params["balance"], "initial")
    return retrieve(session, {}, customer_id)


def _create_with_card(session: Session, customer: Object, params: dict[str, Any]) -> None:
    given = params["payment_method"]
    method = payment_methods.take(session, given, param="payment_method")
    session.create(customer, event="customer.created")
    payment_methods.own(session, method, customer["id"])
    wanted = params.get("invoice_settings", {})
    if wanted.get("default_payment_method") == given:
        # Reason: a test name such as pm_card_visa is the card that was just made of it.
        wanted = wanted | {"default_payment_method": method["id"]}
    if wanted:
        update(session, {"invoice_settings": wanted}, customer["id"])


def _bound_clock(session: Session, params: dict[str, Any]) -> str:
    """Return the clock that a control made for customers of this address, "" if none."""
    clocks = session.find("test_helpers.test_clock", _customer_email=params.get("email") or "")
    return str(clocks[0]["id"]) if clocks else ""


def _join_clock(session: Session, clock_id: str) -> None:
    session.enter(clock_id)
    if len(session.find("customer", test_clock=clock_id)) >= _MAX_ON_CLOCK:
        raise errors.invalid_request(
            f"A test clock takes at most {_MAX_ON_CLOCK} customers.", param="test_clock"
        )


def _check_default(session: Session, customer: Object, params: dict[str, Any]) -> None:
    settings = params.get("invoice_settings", {})
    method_id = settings.get("default_payment_method")
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
    """GET /v1/customers/{id}: of a deleted one only the id is left."""
    found = session.store.get(customer_id)
    if found and found["object"] == "customer" and found.get("deleted"):
        return shown(found)
    return shown(session.get("customer", customer_id))


def update(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """POST /v1/customers/{id}."""
    customer = session.get("customer", customer_id)
    wanted = dict(customer)
    _check_default(session, wanted, params)
    names = (*_TEXTS, *_PLAIN, "invoice_prefix")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    changes["invoice_settings"] = wanted["invoice_settings"]
    if "address" in params:
        changes["address"] = addresses.address(params["address"])
    if "shipping" in params:
        changes["shipping"] = addresses.shipping(params["shipping"])
    if "metadata" in params:
        changes["metadata"] = merged(customer["metadata"], params["metadata"])
    session.change(customer, changes)
    if params.get("balance", customer["balance"]) != customer["balance"]:
        amount = params["balance"] - customer["balance"]
        customer_balance.move(session, customer, amount, "adjustment")
    return shown(customer)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/customers."""
    filters = {"deleted": None, "test_clock": params.get("test_clock")}
    if params.get("email"):
        filters["email"] = params["email"]
        filters["test_clock"] = params.get("test_clock") or _bound_clock(session, params) or None
    return page_of(session, "customer", "/v1/customers", params, filters)


ROUTES = (
    Route(
        "POST",
        "/v1/customers",
        create,
        Group({**_FIELDS, "payment_method": Text(), "test_clock": Text()}),
    ),
    Route(
        "GET",
        "/v1/customers",
        list_all,
        Group({**PAGE, "email": Text(), "created": Range(), "test_clock": Text()}),
    ),
    Route("GET", "/v1/customers/{id}", retrieve),
    Route("POST", "/v1/customers/{id}", update, Group(_FIELDS)),
)
