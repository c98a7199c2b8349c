"""The calls on Checkout sessions."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import prices, redemptions
from sandbox.stripe.objects.hosted import checkout_params, checkout_shape
from sandbox.stripe.params import PAGE, Group, Metadata
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing, merged, page_of, shown

KIND = "checkout.session"
_URL = "/v1/checkout/sessions"
_SHORTEST, _LONGEST = 30 * 60, 86_400
_ONLY_FOR = {
    "customer_creation": ("payment",),
    "payment_intent_data": ("payment",),
    "payment_method_collection": ("subscription",),
    "setup_intent_data": ("setup",),
    "subscription_data": ("subscription",),
    "allow_promotion_codes": ("payment", "subscription"),
    "discounts": ("payment", "subscription"),
    "line_items": ("payment", "subscription"),
}


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/checkout/sessions."""
    if params.get("customer"):
        session.get("customer", params["customer"], param="customer")
    _check(session, params)
    lines = [_line(session, params, number) for number in range(len(params.get("line_items", [])))]
    _check_lines(params["mode"], lines)
    given = params.get("discounts", [])
    wish, coupon = given[0] if given else None, None
    if wish:
        coupon, _ = redemptions.check(session, wish, params.get("customer"), param="discounts[0]")
    expires_at = params.get("expires_at", session.now + _LONGEST)
    checkout = checkout_shape.body(session, params | {"expires_at": expires_at}, lines, wish)
    session.create(checkout | checkout_shape.totals(checkout, coupon))
    session.schedule("expire_checkout", checkout["id"], expires_at)
    return retrieve(session, {}, checkout["id"])


def _check(session: Session, params: dict[str, Any]) -> None:
    mode = params["mode"]
    for name, modes in _ONLY_FOR.items():
        if name in params and mode not in modes:
            raise errors.invalid_request(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    if mode != "setup" and not params.get("line_items"):
        raise errors.bad_parameter(
            "Missing required param: line_items.", code="parameter_missing", param="line_items"
        )
    for first, second in (("allow_promotion_codes", "discounts"), ("customer", "customer_email")):
        if params.get(first) and params.get(second):
            raise errors.bad_parameter(
                f"You may only specify one of these parameters: {first}, {second}.",
                code="parameters_exclusive",
            )
    if "customer_update" in params and not params.get("customer"):
        raise errors.invalid_request(
            "`customer_update` can only be used with `customer`.", param="customer_update"
        )
    if len(params.get("discounts", [])) > 1:
        raise errors.invalid_request("Only one discount is taken.", param="discounts")
    expires_at = params.get("expires_at")
    earliest, latest = session.now + _SHORTEST, session.now + _LONGEST
    if expires_at is not None and not earliest <= expires_at <= latest:
        raise errors.invalid_request(
            "The `expires_at` timestamp must be from 30 minutes to 24 hours away.",
            param="expires_at",
        )


def _line(session: Session, params: dict[str, Any], number: int) -> Object:
    entry, path = params["line_items"][number], f"line_items[{number}]"
    if ("price" in entry) == ("price_data" in entry):
        raise errors.bad_parameter(
            f"You must specify either `price` or `price_data` in {path}.", param=path
        )
    if "price" in entry:
        price = session.get("price", entry["price"], param=f"{path}[price]")
    else:
        made = prices.create(session, entry["price_data"])
        price = session.get("price", made["id"])
    if not price["active"]:
        raise errors.invalid_request(f"The price {price['id']} is inactive.", param=path)
    product = session.get("product", price["product"])
    metadata = merged({}, entry.get("metadata"))
    return checkout_shape.line(price, product["name"], entry.get("quantity", 1), metadata)


def _check_lines(mode: str, lines: list[Object]) -> None:
    has_recurring = [line["price"]["recurring"] is not None for line in lines]
    if mode == "payment" and any(has_recurring):
        raise errors.invalid_request(
            "You specified `payment` mode but passed a recurring price. Either switch to "
            "`subscription` mode or use only one-time prices."
        )
    if mode == "subscription" and not any(has_recurring):
        raise errors.invalid_request(
            "You must provide at least one recurring price in `subscription` mode when using "
            "prices."
        )
    if len({line["currency"] for line in lines}) > 1:
        raise errors.invalid_request("All line items need one currency.", param="line_items")


def retrieve(session: Session, _params: dict[str, Any], checkout_id: str) -> Object:
    """GET /v1/checkout/sessions/{id}."""
    return shown(session.get(KIND, checkout_id))


def update(session: Session, params: dict[str, Any], checkout_id: str) -> Object:
    """POST /v1/checkout/sessions/{id}."""
    checkout = session.get(KIND, checkout_id)
    metadata = merged(checkout["metadata"], params.get("metadata", {}))
    return shown(session.change(checkout, {"metadata": metadata}, is_announced=False))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/checkout/sessions."""
    names = ("customer", "payment_intent", "status", "subscription")
    filters = {name: params[name] for name in names if params.get(name)}
    if params.get("customer_details"):
        filters["customer_details.email"] = params["customer_details"]["email"]
    return page_of(session, KIND, _URL, params, filters)


def list_lines(session: Session, params: dict[str, Any], checkout_id: str) -> Object:
    """GET /v1/checkout/sessions/{id}/line_items."""
    return lines_of(session.get(KIND, checkout_id), params.get("limit", 10))


def lines_of(checkout: Object, limit: int = 10) -> Object:
    """Return a session's line items as a list."""
    lines = checkout["_lines"]
    url = f"{_URL}/{checkout['id']}/line_items"
    return listing(url, lines[:limit], has_more=len(lines) > limit)


def expire(session: Session, _params: dict[str, Any], checkout_id: str) -> Object:
    """POST /v1/checkout/sessions/{id}/expire."""
    checkout = session.get(KIND, checkout_id)
    if checkout["status"] != "open":
        raise errors.invalid_request(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This one is '
            f"{checkout['status']}."
        )
    return shown(_expire(session, checkout))


def run_expire(session: Session, checkout_id: str) -> None:
    """Job: nobody has completed a session in its time."""
    checkout = session.get(KIND, checkout_id)
    if checkout["status"] == "open":
        _expire(session, checkout)


def _expire(session: Session, checkout: Object) -> Object:
    session.change(checkout, {"status": "expired", "url": None}, is_announced=False)
    session.emit("checkout.session.expired", checkout)
    return checkout


ROUTES = (
    Route("POST", _URL, create, checkout_params.CREATE),
    Route("GET", _URL, list_all, checkout_params.LIST),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, Group({"metadata": Metadata()})),
    Route("GET", f"{_URL}/{{id}}/line_items", list_lines, Group({"limit": PAGE["limit"]})),
    Route("POST", f"{_URL}/{{id}}/expire", expire),
)
