"""The calls on products."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import prices, product_shape
from sandbox.stripe.params import PAGE, Boolean, Group, Many, Metadata, Param, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, merged, page_of, shown

_BOTH: dict[str, Param] = {
    **{name: Text() for name in product_shape.TEXTS},
    "active": Boolean(),
    "images": Many(Text()),
    "metadata": Metadata(),
    "shippable": Boolean(),
}
_PLAIN = (*product_shape.TEXTS, "active", "images", "shippable")
_DEFAULT_PRICE = Group(
    {
        "currency": Text(),
        "metadata": Metadata(),
        "recurring": prices.PLAIN_RECURRING,
        **prices.AMOUNT,
    },
    required=("currency",),
)
_LIST = Group({**PAGE, "active": Boolean(), "created": Range(), "ids": Many(Text())})


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/products."""
    product = product_shape.make(session, params)
    if "default_price_data" in params:
        price = prices.create(session, {**params["default_price_data"], "product": product["id"]})
        session.change(product, {"default_price": price["id"]}, is_announced=False)
    return shown(product)


def retrieve(session: Session, _params: dict[str, Any], product_id: str) -> Object:
    """GET /v1/products/{id}."""
    return shown(session.get("product", product_id))


def update(session: Session, params: dict[str, Any], product_id: str) -> Object:
    """POST /v1/products/{id}."""
    product = session.get("product", product_id)
    changes = {name: params[name] for name in _PLAIN if name in params}
    if "default_price" in params:
        changes["default_price"] = _default_price(session, product_id, params["default_price"])
    if "metadata" in params:
        changes["metadata"] = merged(product["metadata"], params["metadata"])
    return shown(session.change(product, {**changes, "updated": session.now}))


def _default_price(session: Session, product_id: str, price_id: str | None) -> str | None:
    if price_id is None:
        return None
    price = session.get("price", price_id, param="default_price")
    if price["product"] != product_id or not price["active"]:
        raise errors.invalid_request(
            f"The price {price_id} is inactive, or belongs to another product.",
            param="default_price",
        )
    return price_id


def delete(session: Session, _params: dict[str, Any], product_id: str) -> Object:
    """DELETE /v1/products/{id}."""
    product = session.get("product", product_id)
    if session.find("price", product=product_id):
        raise errors.invalid_request(
            "This product cannot be deleted because it has one or more user-created prices."
        )
    session.store.delete(product_id)
    session.emit("product.deleted", product)
    return deleted(product)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/products."""
    filters: dict[str, Any] = {"active": int(params["active"])} if "active" in params else {}
    if params.get("ids"):
        filters["id"] = params["ids"]
    return page_of(session, "product", "/v1/products", params, filters)


ROUTES = (
    Route(
        "POST",
        "/v1/products",
        create,
        Group({**_BOTH, "default_price_data": _DEFAULT_PRICE, "id": Text()}, ("name",)),
    ),
    Route("GET", "/v1/products", list_all, _LIST),
    Route("GET", "/v1/products/{id}", retrieve),
    Route("POST", "/v1/products/{id}", update, Group({**_BOTH, "default_price": Text()})),
    Route("DELETE", "/v1/products/{id}", delete),
)
