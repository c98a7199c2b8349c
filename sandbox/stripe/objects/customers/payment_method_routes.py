"""The calls on payment methods."""

from datetime import UTC, datetime
from typing import Any

from sandbox.stripe import cards, declines, errors, method_types
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.customers.addresses import BILLING, NO_BILLING, billing
from sandbox.stripe.params import PAGE, Choice, Group, Integer, Metadata, Param, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_BOTH: dict[str, Param] = {
    "allow_redisplay": Choice(("always", "limited", "unspecified")),
    "billing_details": Group(BILLING),
    "metadata": Metadata(),
}
_CREATE = Group(
    {
        **_BOTH,
        "card": Group(
            {
                "cvc": Text(),
                "exp_month": Integer(),
                "exp_year": Integer(),
                "number": Text(),
                "token": Text(),
            }
        ),
        "type": Choice(("card",)),
    },
    required=("type", "card"),
)
_UPDATE = Group({**_BOTH, "card": Group({"exp_month": Integer(), "exp_year": Integer()})})


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/payment_methods."""
    given = params["card"]
    fields = {
        "allow_redisplay": params.get("allow_redisplay", "unspecified"),
        "billing_details": billing(NO_BILLING, params.get("billing_details", {})),
        "metadata": merged({}, params.get("metadata")),
    }
    if given.get("token"):
        known = cards.TEST_CARDS.get(given["token"])
        if known is None or not given["token"].startswith("tok_"):
            raise errors.missing("token", given["token"], param="card[token]")
        return shown(payment_methods.make(session, known, **fields))
    for name in ("number", "exp_month", "exp_year"):
        if given.get(name) is None:
            path = f"card[{name}]"
            raise errors.bad_parameter(
                f"Missing required param: {path}.", code="parameter_missing", param=path
            )
    month, year = _expiry(session, given["exp_month"], given["exp_year"])
    card = _by_number(given["number"], given.get("cvc"))
    return shown(payment_methods.make(session, card, exp_month=month, exp_year=year, **fields))


def _by_number(written: str, cvc: str | None) -> cards.TestCard:
    number = written.replace(" ", "").replace("-", "")
    if not cards.is_luhn(number):
        raise errors.card_error(declines.failure_of("incorrect_number"))
    if cvc is not None and not (cvc.isdigit() and len(cvc) in {3, 4}):
        raise _invalid("cvc", "Your card's security code is invalid.")
    known = cards.BY_NUMBER.get(number)
    if known is None:
        raise errors.card_error(declines.failure_of("test_mode_live_card"))
    return known


def _expiry(session: Session, month: int, year: int) -> tuple[int, int]:
    today = datetime.fromtimestamp(session.now, UTC)
    year += 2_000 if year < 100 else 0
    if not today.year <= year <= today.year + 50:
        raise _invalid("expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if not 1 <= month <= 12 or (year, month) < (today.year, today.month):
        raise _invalid("expiry_month", "Your card's expiration month is invalid.", "exp_month")
    return month, year


def _invalid(what: str, message: str, param: str | None = None) -> errors.ApiError:
    return errors.card_error(
        {"code": f"invalid_{what}", "message": message, "param": param or what}
    )


def retrieve(session: Session, _params: dict[str, Any], method_id: str) -> Object:
    """GET /v1/payment_methods/{id}."""
    return shown(payment_methods.take(session, method_id, param="id"))


def update(session: Session, params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}."""
    method = session.get("payment_method", method_id)
    if method["customer"] is None:
        raise errors.invalid_request(
            "Only a payment method that is attached to a customer can be updated.",
            code="payment_method_unexpected_state",
        )
    changes: dict[str, Any] = {"metadata": merged(method["metadata"], params.get("metadata", {}))}
    if "allow_redisplay" in params:
        changes["allow_redisplay"] = params["allow_redisplay"]
    if "billing_details" in params:
        changes["billing_details"] = billing(method["billing_details"], params["billing_details"])
    if "card" in params and "card" in method:
        card = method["card"] | params["card"]
        month, year = _expiry(session, card["exp_month"], card["exp_year"])
        changes["card"] = card | {"exp_month": month, "exp_year": year}
    return shown(session.change(method, changes))


def attach(session: Session, params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}/attach."""
    customer = session.get("customer", params["customer"], param="customer")
    method = payment_methods.take(session, method_id, param="id")
    payment_methods.own(session, method, customer["id"])
    return shown(method)


def detach(session: Session, _params: dict[str, Any], method_id: str) -> Object:
    """POST /v1/payment_methods/{id}/detach."""
    method = session.get("payment_method", method_id)
    if method["customer"] is None:
        raise errors.invalid_request(
            "The payment method you provided is not attached to a customer so it cannot be "
            "detached.",
            param="payment_method",
        )
    return payment_methods.forget(session, method)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/payment_methods."""
    if not params.get("customer"):
        return {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_methods"}
    session.get("customer", params["customer"], param="customer")
    filters = {"customer": params["customer"]} | _chosen(params)
    return page_of(session, "payment_method", "/v1/payment_methods", params, filters)


def list_of_customer(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """GET /v1/customers/{id}/payment_methods."""
    session.get("customer", customer_id)
    url = f"/v1/customers/{customer_id}/payment_methods"
    filters = {"customer": customer_id} | _chosen(params)
    return page_of(session, "payment_method", url, params, filters)


def _chosen(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in ("allow_redisplay", "type") if params.get(name)}


def retrieve_of_customer(
    session: Session, _params: dict[str, Any], customer_id: str, method_id: str
) -> Object:
    """GET /v1/customers/{id}/payment_methods/{id}."""
    session.get("customer", customer_id)
    method = session.get("payment_method", method_id)
    if method["customer"] != customer_id:
        raise errors.missing("PaymentMethod", method_id)
    return shown(method)


_OF_TYPE = {**PAGE, "allow_redisplay": _BOTH["allow_redisplay"], "type": Choice(method_types.TYPES)}
ROUTES = (
    Route("POST", "/v1/payment_methods", create, _CREATE),
    Route("GET", "/v1/payment_methods", list_all, Group({**_OF_TYPE, "customer": Text()})),
    Route("GET", "/v1/payment_methods/{id}", retrieve),
    Route("POST", "/v1/payment_methods/{id}", update, _UPDATE),
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
