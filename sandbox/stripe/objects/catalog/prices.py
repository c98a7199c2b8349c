"""Prices: one amount a unit, once or every so often, or for what a meter has counted."""

from fractions import Fraction
from math import ceil, floor
from typing import Any

from sandbox.stripe import amounts, errors
from sandbox.stripe.objects.catalog import product_shape
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Decimals,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Recurring,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_INTERVAL: dict[str, Param] = {
    "interval": Choice(("day", "week", "month", "year")),
    "interval_count": Integer(minimum=1),
}
PLAIN_RECURRING = Recurring(_INTERVAL, required=("interval",))
_RECURRING = Recurring(
    {**_INTERVAL, "meter": Text(), "usage_type": Choice(("licensed", "metered"))},
    required=("interval",),
)
_TAX = Choice(("exclusive", "inclusive", "unspecified"))
AMOUNT: dict[str, Param] = {
    "tax_behavior": _TAX,
    "unit_amount": Integer(minimum=0),
    "unit_amount_decimal": Decimals(),
}
_TRANSFORM = Group(
    {"divide_by": Integer(minimum=1), "round": Choice(("down", "up"))},
    required=("divide_by", "round"),
)
_LOOKUP: dict[str, Param] = {"lookup_key": Text(200), "transfer_lookup_key": Boolean()}
_PRODUCT_DATA = Group(
    {
        "active": Boolean(),
        "id": Text(),
        "metadata": Metadata(),
        "name": Text(),
        "statement_descriptor": Text(),
        "unit_label": Text(),
    },
    required=("name",),
)
_CREATE = Group(
    {
        **AMOUNT,
        **_LOOKUP,
        "active": Boolean(),
        "billing_scheme": Choice(("per_unit",)),
        "currency": Text(),
        "metadata": Metadata(),
        "nickname": Text(),
        "product": Text(),
        "transform_quantity": _TRANSFORM,
        "product_data": _PRODUCT_DATA,
        "recurring": _RECURRING,
    },
    required=("currency",),
)
_UPDATE = Group(
    {
        **_LOOKUP,
        "active": Boolean(),
        "metadata": Metadata(),
        "nickname": Text(),
        "tax_behavior": _TAX,
    }
)
_LIST = Group(
    {
        **PAGE,
        "active": Boolean(),
        "created": Range(),
        "currency": Text(),
        "lookup_keys": Many(Text()),
        "product": Text(),
        "recurring": Group(
            {
                "interval": _INTERVAL["interval"],
                "meter": Text(),
                "usage_type": Choice(("licensed", "metered")),
            }
        ),
        "type": Choice(("one_time", "recurring")),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/prices."""
    if params.get("product"):
        product_id = session.get("product", params["product"], param="product")["id"]
    elif "product_data" in params:
        product_id = product_shape.make(session, params["product_data"])["id"]
    else:
        raise errors.bad_parameter(
            "Missing required param: product.", code="parameter_missing", param="product"
        )
    amounts.check_currency(params["currency"].lower())
    recurring = _recurring(session, params.get("recurring"))
    exact = _exact_amount(params)
    price_id = new_id("price")
    body: Object = {
        "id": price_id,
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": session.now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": _claim_key(session, price_id, params),
        "metadata": merged({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product_id,
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": params.get("transform_quantity"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": None if Fraction(exact) % 1 else int(Fraction(exact)),
        "unit_amount_decimal": exact,
    }
    return shown(session.create(body, event="price.created"))


def _exact_amount(params: dict[str, Any]) -> str:
    given = [name for name in ("unit_amount", "unit_amount_decimal") if name in params]
    if len(given) == 2:
        raise errors.bad_parameter(
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.",
            code="parameters_exclusive",
        )
    if not given:
        raise errors.bad_parameter(
            "Missing required param: unit_amount.", code="parameter_missing", param="unit_amount"
        )
    exact = str(params[given[0]])
    if Fraction(exact) < 0:
        raise errors.invalid_request("A price is never below zero.", param=given[0])
    return exact


def _recurring(session: Session, given: dict[str, Any] | None) -> Object | None:
    if not given:
        return None
    usage_type = given.get("usage_type", "licensed")
    meter_id = given.get("meter")
    path = "recurring[meter]"
    if (usage_type == "metered") != bool(meter_id):
        raise errors.invalid_request(
            "A metered price needs a meter, and no other price takes one.", param=path
        )
    if meter_id and session.get("billing.meter", meter_id, param=path)["status"] != "active":
        raise errors.invalid_request(f"The meter {meter_id} is inactive.", param=path)
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": meter_id,
        "trial_period_days": None,
        "usage_type": usage_type,
    }


def _claim_key(session: Session, price_id: str, params: dict[str, Any]) -> str | None:
    """Return the wanted lookup key, taken from the price that has it if that was asked for."""
    key: str | None = params.get("lookup_key")
    for owner in session.find("price", lookup_key=key) if key else []:
        if owner["id"] == price_id:
            continue
        if not params.get("transfer_lookup_key"):
            raise errors.invalid_request(
                f"A price (`{owner['id']}`) already uses that lookup key.", param="lookup_key"
            )
        session.change(owner, {"lookup_key": None})
    return key


def inline(session: Session, data: dict[str, Any], path: str) -> Object:
    """Return the price that a call describes instead of naming one; it cannot be used again.

    Raises:
        ApiError: If its product is unknown.
    """
    session.get("product", data["product"], param=f"{path}[product]")
    return create(session, data)


def retrieve(session: Session, _params: dict[str, Any], price_id: str) -> Object:
    """GET /v1/prices/{id}."""
    return shown(session.get("price", price_id))


def update(session: Session, params: dict[str, Any], price_id: str) -> Object:
    """POST /v1/prices/{id}."""
    price = session.get("price", price_id)
    names = ("active", "nickname", "tax_behavior")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if params.get("active") is False and _is_default(session, price):
        raise errors.invalid_request(
            "This price cannot be archived because it is the default price of its product.",
            param="active",
        )
    if "lookup_key" in params:
        changes["lookup_key"] = _claim_key(session, price_id, params)
    if "metadata" in params:
        changes["metadata"] = merged(price["metadata"], params["metadata"])
    return shown(session.change(price, changes))


def _is_default(session: Session, price: Object) -> bool:
    product = session.store.get(price["product"])
    return product is not None and product["default_price"] == price["id"]


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/prices."""
    names = ("product", "currency", "type")
    filters: dict[str, Any] = {name: params[name] for name in names if params.get(name)}
    if "active" in params:
        filters["active"] = int(params["active"])
    if params.get("lookup_keys"):
        filters["lookup_key"] = params["lookup_keys"]
    for name, value in params.get("recurring", {}).items():
        filters[f"recurring.{name}"] = value
    return page_of(session, "price", "/v1/prices", params, filters)


def is_metered(price: Object) -> bool:
    """Return whether a price is for what was used, and so billed afterwards."""
    recurring = price["recurring"]
    return recurring is not None and recurring["usage_type"] == "metered"


def cost(price: Object, quantity: int | Fraction) -> Fraction:
    """Return what so many units cost, before rounding."""
    counted = Fraction(quantity)
    transform = price["transform_quantity"]
    if transform:
        packs = counted / transform["divide_by"]
        counted = Fraction(ceil(packs) if transform["round"] == "up" else floor(packs))
    return Fraction(price["unit_amount_decimal"]) * counted


def plan_of(price: Object) -> Object:
    """Return the legacy plan that Stripe still shows beside an item's price."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": price["transform_quantity"],
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


ROUTES = (
    Route("POST", "/v1/prices", create, _CREATE),
    Route("GET", "/v1/prices", list_all, _LIST),
    Route("GET", "/v1/prices/{id}", retrieve),
    Route("POST", "/v1/prices/{id}", update, _UPDATE),
)
