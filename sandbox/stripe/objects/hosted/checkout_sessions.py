"""The calls on Checkout sessions."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import prices, redemptions
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.hosted import checkout_looks, checkout_params, checkout_shape
from sandbox.stripe.objects.subscriptions import subscription_changes
from sandbox.stripe.params import PAGE, Group, Metadata
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing, merged, page_of, part_of, shown

KIND = "checkout.session"
_URL = "/v1/checkout/sessions"
_SHORTEST, _LONGEST = 30 * 60, 86_400
_ONLY_FOR = {
    "invoice_creation": ("payment",),
    "submit_type": ("payment", "subscription"),
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
    currency = _check_lines(params, lines)
    if params.get("customer") and params["mode"] == "subscription" and currency:
        customer_currency.check(session, params["customer"], currency)
    given = params.get("discounts", [])
    wish, coupon = given[0] if given else None, None
    if wish:
        coupon, _ = redemptions.check(
            session, wish, params.get("customer"), param="discounts[0]", currency=currency
        )
    expires_at = params.get("expires_at", session.now + _LONGEST)
    checkout = checkout_shape.body(session, params | {"expires_at": expires_at}, lines, wish)
    session.create(checkout | checkout_shape.totals(checkout, coupon))
    session.schedule("expire_checkout", checkout["id"], expires_at)
    return retrieve(session, {}, checkout["id"])


def _check(session: Session, params: dict[str, Any]) -> None:
    mode = params["mode"]
    checkout_looks.check(params)
    _check_way_back(params)
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
    if len(params.get("discounts", [])) > 1:
        raise errors.invalid_request("Only one discount is taken.", param="discounts")
    expires_at = params.get("expires_at")
    earliest, latest = session.now + _SHORTEST, session.now + _LONGEST
    if expires_at is not None and not earliest <= expires_at <= latest:
        raise errors.invalid_request(
            "The `expires_at` timestamp must be from 30 minutes to 24 hours away.",
            param="expires_at",
        )


def _check_way_back(params: dict[str, Any]) -> None:
    """Refuse a session without an address to lead its customer to."""
    is_hosted = params.get("ui_mode", "hosted_page") == "hosted_page"
    stays = params.get("redirect_on_completion") == "never"
    name = "success_url" if is_hosted else "return_url"
    if not params.get(name) and (is_hosted or not stays):
        raise errors.bad_parameter(
            f"Missing required param: {name}.", code="parameter_missing", param=name
        )
    for other in ("return_url", "redirect_on_completion") if is_hosted else ("success_url",):
        if params.get(other):
            ui_mode = params.get("ui_mode", "hosted_page")
            raise errors.bad_parameter(
                f"You can not pass `{other}` if `ui_mode` is `{ui_mode}`.", param=other
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
    line = checkout_shape.line(price, product["name"], entry.get("quantity", 1), metadata)
    return line | {"adjustable_quantity": checkout_shape.adjustable(entry)}


def _check_lines(params: dict[str, Any], lines: list[Object]) -> str | None:
    """Refuse lines that do not fit the mode or each other, and return their currency."""
    mode = params["mode"]
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
    expected: str | None = params.get("currency") or (lines[0]["currency"] if lines else None)
    for number, line in enumerate(lines):
        param = f"line_items[{number}][price]"
        customer_currency.check_price(line["price"], str(expected).lower(), param=param)
    if mode == "subscription":
        recurring = [line["price"] for line in lines if line["price"]["recurring"]]
        subscription_changes.check_alike(recurring, path="line_items")
    return expected and expected.lower()


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
    return lines_of(session.get(KIND, checkout_id), params)


def lines_of(checkout: Object, params: dict[str, Any]) -> Object:
    """Return a page of a session's line items."""
    url = f"{_URL}/{checkout['id']}/line_items"
    return part_of(listing(url, checkout["_lines"]), "item", params)


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
    Route("GET", f"{_URL}/{{id}}/line_items", list_lines, Group(PAGE)),
    Route("POST", f"{_URL}/{{id}}/expire", expire),
)
