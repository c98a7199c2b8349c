"""`expand[]`: ids in an answer replaced by the objects that they name."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.session import Object, Session, listing, shown

_KINDS = {
    "ch": "charge",
    "clock": "test_helpers.test_clock",
    "cus": "customer",
    "di": "discount",
    "in": "invoice",
    "pi": "payment_intent",
    "pm": "payment_method",
    "price": "price",
    "prod": "product",
    "promo": "promotion_code",
    "re": "refund",
    "seti": "setup_intent",
    "sub": "subscription",
}
_PLAIN = {("charge", "payment_method"), ("line_item", "invoice"), ("plan", "id")}
_MAX_DEPTH = 4


def expand(session: Session, answer: Object, paths: list[str]) -> Object:
    """Replace what `paths` name, in place.

    Raises:
        ApiError: If a path cannot be expanded.
    """
    for path in paths:
        parts = path.split(".")
        if len([part for part in parts if part != "data"]) > _MAX_DEPTH:
            raise errors.bad_parameter(
                f"You cannot expand more than {_MAX_DEPTH} levels of a property. Property: {path}",
                param="expand",
            )
        _walk(session, answer, parts, path)
    return answer


def _walk(session: Session, node: Any, parts: list[str], path: str) -> None:
    if not parts or node is None:
        return
    if isinstance(node, list):
        for entry in node:
            _walk(session, entry, parts, path)
        return
    head, rest = parts[0], parts[1:]
    if not isinstance(node, dict):
        raise _refusal(head, path)
    if head not in node:
        node[head] = _included(session, node, head, path)
    elif isinstance(node[head], str):
        node[head] = _named(session, node, head, path)
    elif isinstance(node[head], list) and head == "discounts":
        node[head] = [_named(session, {head: each}, head, path) for each in node[head]]
    elif node[head] is not None and not rest and not isinstance(node[head], dict | list):
        raise _refusal(head, path)
    _walk(session, node[head], rest, path)


def _named(session: Session, node: Object, name: str, path: str) -> Object:
    value: str = node[name]
    # Reason: coupons have ids of people's own choice, without a prefix.
    kind = "coupon" if name == "coupon" else _KINDS.get(value.partition("_")[0])
    is_plain = name == "id" or (node.get("object"), name) in _PLAIN
    found = session.store.get(value) if kind and not is_plain else None
    if found is None or found["object"] != kind:
        raise _refusal(name, path)
    return shown(found)


def _included(session: Session, node: Object, name: str, path: str) -> Object | None:
    """Return a field that is only there when asked for."""
    kind = node.get("object")
    if (kind, name) == ("invoice", "payments"):
        payments = session.find("invoice_payment", invoice=node["id"])
        url = f"/v1/invoice_payments?invoice={node['id']}"
        return listing(url, [shown(payment) for payment in payments])
    if (kind, name) == ("invoice", "confirmation_secret"):
        for payment in session.find("invoice_payment", invoice=node["id"]):
            intent = session.get("payment_intent", payment["payment"]["payment_intent"])
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
        return None
    if (kind, name) == ("coupon", "applies_to"):
        products = session.get("coupon", node["id"])["_products"]
        return {"products": products} if products else None
    if (kind, name) == ("customer", "subscriptions"):
        url = f"/v1/customers/{node['id']}/subscriptions"
        running = session.find("subscription", customer=node["id"])
        return listing(url, [shown(s) for s in running if s["status"] != "canceled"])
    raise _refusal(name, path)


def _refusal(name: str, path: str) -> errors.ApiError:
    return errors.bad_parameter(
        f"This property cannot be expanded ({name}). Path: {path}", param="expand"
    )
