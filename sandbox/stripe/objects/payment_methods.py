"""Payment methods: cards that answer by script."""

import hashlib
from collections.abc import Sequence
from typing import Any

from sandbox.stripe import cards, errors
from sandbox.stripe.params import PAGE, Choice, Group, Metadata, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
BILLING_DETAILS: Object = {
    "address": _NO_ADDRESS,
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def make(
    session: Session,
    script: Sequence[str],
    *,
    is_attachable: bool = True,
    **card: Any,
) -> Object:
    """Create a card that belongs to nobody yet; `card` has brand, last4, exp_month, exp_year."""
    return session.create(
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": BILLING_DETAILS,
            "card": _card(**card),
            "created": session.now,
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
            "_script": list(script),
            "_used": 0,
            "_is_attachable": is_attachable,
            "_is_spent": False,
        }
    )


def _card(
    brand: str = "visa", last4: str = "4242", exp_month: int = 12, exp_year: int = 2034
) -> Object:
    fingerprint = hashlib.sha256(f"{brand}{last4}{exp_month}{exp_year}".encode()).hexdigest()
    return {
        "brand": brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": brand,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": fingerprint[:16],
        "funding": "credit",
        "generated_from": None,
        "last4": last4,
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def take(session: Session, method_id: str, *, param: str = "payment_method") -> Object:
    """Return a payment method; one of Stripe's test names becomes a new card.

    Raises:
        ApiError: If there is no such payment method.
    """
    known = cards.TEST_CARDS.get(method_id)
    if known is None:
        return session.get("payment_method", method_id, param=param)
    return make(
        session,
        known.script,
        brand=known.brand,
        last4=known.last4,
        is_attachable=known.is_attachable,
    )


def check_usable(method: Object, customer_id: str | None) -> None:
    """Refuse a card that is another customer's or was used up.

    Raises:
        ApiError: If the card may not be used for this customer.
    """
    if method["_is_spent"]:
        raise errors.invalid_request(
            "This PaymentMethod was used before without a Customer, or was detached from one, "
            "and cannot be used again.",
            code="payment_method_unexpected_state",
            param="payment_method",
        )
    if method["customer"] not in {None, customer_id}:
        raise errors.invalid_request(
            "The payment method is attached to another customer.",
            code="payment_method_unexpected_state",
            param="payment_method",
        )


def retrieve(session: Session, _params: dict[str, Any], method_id: str) -> Object:
    """GET /v1/payment_methods/{id}."""
    return shown(take(session, method_id, param="id"))


def update(session: Session, params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}."""
    method = session.get("payment_method", method_id)
    metadata = merged(method["metadata"], params.get("metadata", {}))
    return shown(session.change(method, {"metadata": metadata}))


def attach(session: Session, params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}/attach."""
    customer = session.get("customer", params["customer"], param="customer")
    method = take(session, method_id, param="id")
    if method["customer"] == customer["id"]:
        return shown(method)
    check_usable(method, customer["id"])
    if not method["_is_attachable"]:
        failure = cards.failure_of(method["_script"][0])
        raise errors.card_error(failure | {"param": ""})
    session.change(method, {"customer": customer["id"]}, is_announced=False)
    session.emit("payment_method.attached", method)
    return shown(method)


def detach(session: Session, _params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}/detach."""
    method = session.get("payment_method", method_id)
    owner = method["customer"]
    if owner is None:
        raise errors.invalid_request(
            "The payment method you provided is not attached to a customer so it cannot be "
            "detached.",
            param="payment_method",
        )
    session.change(method, {"customer": None, "_is_spent": True}, is_announced=False)
    session.emit("payment_method.detached", method, previous={"customer": owner})
    customer = session.get("customer", owner)
    if customer["invoice_settings"]["default_payment_method"] == method_id:
        settings = customer["invoice_settings"] | {"default_payment_method": None}
        session.change(customer, {"invoice_settings": settings})
    for subscription in session.find("subscription", customer=owner):
        if subscription["default_payment_method"] == method_id:
            session.change(subscription, {"default_payment_method": None})
    return shown(method)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/payment_methods."""
    if not params.get("customer"):
        return {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_methods"}
    session.get("customer", params["customer"], param="customer")
    filters = {"customer": params["customer"]}
    return page_of(session, "payment_method", "/v1/payment_methods", params, filters)


def list_of_customer(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """GET /v1/customers/{id}/payment_methods."""
    session.get("customer", customer_id)
    url = f"/v1/customers/{customer_id}/payment_methods"
    return page_of(session, "payment_method", url, params, {"customer": customer_id})


def retrieve_of_customer(
    session: Session, _params: dict[str, Any], customer_id: str, method_id: str
) -> Object:
    """GET /v1/customers/{id}/payment_methods/{id}."""
    session.get("customer", customer_id)
    method = session.get("payment_method", method_id)
    if method["customer"] != customer_id:
        raise errors.missing("PaymentMethod", method_id)
    return shown(method)


_OF_TYPE = {**PAGE, "type": Choice(("card",))}
ROUTES = (
    Route("GET", "/v1/payment_methods", list_all, Group({**_OF_TYPE, "customer": Text()})),
    Route("GET", "/v1/payment_methods/{id}", retrieve),
    Route("POST", "/v1/payment_methods/{id}", update, Group({"metadata": Metadata()})),
    Route(
        "POST",
        "/v1/payment_methods/{id}/attach",
        attach,
        Group({"customer": Text()}, required=("customer",)),
    ),
    Route("POST", "/v1/payment_methods/{id}/detach", detach),
    Route("GET", "/v1/customers/{id}/payment_methods", list_of_customer, Group(_OF_TYPE)),
    Route("GET", "/v1/customers/{id}/payment_methods/{id}", retrieve_of_customer),
)
