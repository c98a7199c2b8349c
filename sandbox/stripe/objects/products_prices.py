"""Products and prices."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_PRODUCT_TEXTS = ("description", "name", "statement_descriptor", "unit_label", "url")
_PRODUCT: dict[str, Param] = {
    **{name: Text() for name in _PRODUCT_TEXTS},
    "active": Boolean(),
    "metadata": Metadata(),
}
_RECURRING = Group(
    {
        "interval": Choice(("day", "week", "month", "year")),
        "interval_count": Integer(minimum=1),
        "usage_type": Choice(("licensed",)),
    },
    required=("interval",),
)
_PRICE_CREATE = Group(
    {
        "active": Boolean(),
        "billing_scheme": Choice(("per_unit",)),
        "currency": Text(),
        "lookup_key": Text(),
        "metadata": Metadata(),
        "nickname": Text(),
        "product": Text(),
        "product_data": Group({"name": Text(), "metadata": Metadata()}, required=("name",)),
        "recurring": _RECURRING,
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
        "unit_amount": Integer(minimum=0),
    },
    required=("currency", "unit_amount"),
)
_PRICE_UPDATE = Group(
    {"active": Boolean(), "lookup_key": Text(), "metadata": Metadata(), "nickname": Text()}
)


def create_product(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/products."""
    if params.get("id") and session.store.get(params["id"]):
        raise errors.invalid_request(
            "Product already exists.", code="resource_already_exists", param="id"
        )
    body: Object = {
        "id": params.get("id") or new_id("prod"),
        "object": "product",
        "active": params.get("active", True),
        "created": session.now,
        "default_price": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged({}, params.get("metadata")),
        "package_dimensions": None,
        "shippable": None,
        "tax_code": None,
        "type": "service",
        "updated": session.now,
    }
    body |= {name: params.get(name) for name in _PRODUCT_TEXTS}
    return shown(session.create(body, event="product.created"))


def retrieve_product(session: Session, _params: dict[str, Any], product_id: str) -> Object:
    """GET /v1/products/{id}."""
    return shown(session.get("product", product_id))


def update_product(session: Session, params: dict[str, Any], product_id: str) -> Object:
    """POST /v1/products/{id}."""
    product = session.get("product", product_id)
    changes = {name: params[name] for name in (*_PRODUCT_TEXTS, "active") if name in params}
    if params.get("default_price"):
        price = session.get("price", params["default_price"], param="default_price")
        changes["default_price"] = price["id"]
    if "metadata" in params:
        changes["metadata"] = merged(product["metadata"], params["metadata"])
    return shown(session.change(product, {**changes, "updated": session.now}))


def list_products(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/products."""
    filters = {"active": int(params["active"])} if "active" in params else {}
    return page_of(session, "product", "/v1/products", params, filters)


def create_price(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/prices."""
    if params.get("product"):
        product_id = session.get("product", params["product"], param="product")["id"]
    elif "product_data" in params:
        product_id = create_product(session, params["product_data"])["id"]
    else:
        raise errors.bad_parameter(
            "Missing required param: product.", code="parameter_missing", param="product"
        )
    recurring = params.get("recurring")
    body: Object = {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": session.now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": merged({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product_id,
        "recurring": recurring
        and {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": params["unit_amount"],
        "unit_amount_decimal": str(params["unit_amount"]),
    }
    return shown(session.create(body, event="price.created"))


def inline_price(session: Session, data: dict[str, Any], path: str) -> Object:
    """Return the price that a call describes instead of naming one; it cannot be used again.

    Raises:
        ApiError: If its product is unknown.
    """
    session.get("product", data["product"], param=f"{path}[product]")
    return create_price(session, data)


def retrieve_price(session: Session, _params: dict[str, Any], price_id: str) -> Object:
    """GET /v1/prices/{id}."""
    return shown(session.get("price", price_id))


def update_price(session: Session, params: dict[str, Any], price_id: str) -> Object:
    """POST /v1/prices/{id}."""
    price = session.get("price", price_id)
    names = ("active", "lookup_key", "nickname")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if "metadata" in params:
        changes["metadata"] = merged(price["metadata"], params["metadata"])
    return shown(session.change(price, changes))


def list_prices(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/prices."""
    filters: dict[str, Any] = {
        name: params[name] for name in ("product", "currency", "type") if params.get(name)
    }
    if "active" in params:
        filters["active"] = int(params["active"])
    if params.get("lookup_keys"):
        filters["lookup_key"] = params["lookup_keys"]
    return page_of(session, "price", "/v1/prices", params, filters)


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
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


ROUTES = (
    Route("POST", "/v1/products", create_product, Group({**_PRODUCT, "id": Text()}, ("name",))),
    Route(
        "GET",
        "/v1/products",
        list_products,
        Group({**PAGE, "active": Boolean(), "created": Range()}),
    ),
    Route("GET", "/v1/products/{id}", retrieve_product),
    Route(
        "POST",
        "/v1/products/{id}",
        update_product,
        Group({**_PRODUCT, "default_price": Text()}),
    ),
    Route("POST", "/v1/prices", create_price, _PRICE_CREATE),
    Route(
        "GET",
        "/v1/prices",
        list_prices,
        Group(
            {
                **PAGE,
                "active": Boolean(),
                "created": Range(),
                "currency": Text(),
                "lookup_keys": Many(Text()),
                "product": Text(),
                "type": Choice(("one_time", "recurring")),
            }
        ),
    ),
    Route("GET", "/v1/prices/{id}", retrieve_price),
    Route("POST", "/v1/prices/{id}", update_price, _PRICE_UPDATE),
)
