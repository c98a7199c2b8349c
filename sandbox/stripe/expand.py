"""`expand[]`: ids in an answer replaced by the objects that they name."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.hosted import checkout_sessions
from sandbox.stripe.objects.payments import refunds
from sandbox.stripe.objects.subscriptions import subscriptions
from sandbox.stripe.session import Object, Session, page_of, shown

_KINDS = {
    "bpc": "billing_portal.configuration",
    "ch": "charge",
    "clock": "test_helpers.test_clock",
    "cbtxn": "customer_balance_transaction",
    "cn": "credit_note",
    "cs": "checkout.session",
    "cus": "customer",
    "di": "discount",
    "du": "dispute",
    "in": "invoice",
    "pi": "payment_intent",
    "pm": "payment_method",
    "pr": "payment_record",
    "price": "price",
    "prod": "product",
    "promo": "promotion_code",
    "re": "refund",
    "setatt": "setup_attempt",
    "seti": "setup_intent",
    "sub": "subscription",
    "sub_sched": "subscription_schedule",
    "txn": "balance_transaction",
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
        node[head] = [
            _named(session, {head: each}, head, path) if isinstance(each, str) else each
            for each in node[head]
        ]
    elif node[head] is not None and not rest and not isinstance(node[head], dict | list):
        raise _refusal(head, path)
    _walk(session, node[head], rest, path)


def _named(session: Session, node: Object, name: str, path: str) -> Object:
    value: str = node[name]
    # Reason: coupons have ids of people's own choice, without a prefix.
    prefix = "sub_sched" if value.startswith("sub_sched_") else value.partition("_")[0]
    kind = "coupon" if name == "coupon" else _KINDS.get(prefix)
    is_plain = name == "id" or (node.get("object"), name) in _PLAIN
    found = session.store.get(value) if kind and not is_plain else None
    if found is None or found["object"] != kind:
        raise _refusal(name, path)
    return shown(found)


def _included(session: Session, node: Object, name: str, path: str) -> Object | None:
    """Return a field that is only there when asked for."""
    include = _INCLUDED.get((str(node.get("object")), name))
    if include is None:
        raise _refusal(name, path)
    return include(session, node)


def _payments(session: Session, invoice: Object) -> Object:
    url = f"/v1/invoice_payments?invoice={invoice['id']}"
    return page_of(session, "invoice_payment", url, {}, {"invoice": invoice["id"]})


def _secret(session: Session, invoice: Object) -> Object | None:
    for payment in session.find("invoice_payment", invoice=invoice["id"], is_default=1):
        intent = session.get("payment_intent", payment["payment"]["payment_intent"])
        return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


def _lines(session: Session, checkout: Object) -> Object:
    return checkout_sessions.lines_of(session.get("checkout.session", checkout["id"]), {})


def _products(session: Session, coupon: Object) -> Object | None:
    products = session.get("coupon", coupon["id"])["_products"]
    return {"products": products} if products else None


def _refunds(session: Session, charge: Object) -> Object:
    return refunds.list_of_charge(session, {}, charge["id"])


def _subscriptions(session: Session, customer: Object) -> Object:
    return subscriptions.list_of_customer(session, {}, customer["id"])


_INCLUDED: dict[tuple[str, str], Callable[[Session, Object], Object | None]] = {
    ("charge", "refunds"): _refunds,
    ("checkout.session", "line_items"): _lines,
    ("coupon", "applies_to"): _products,
    ("customer", "subscriptions"): _subscriptions,
    ("invoice", "confirmation_secret"): _secret,
    ("invoice", "payments"): _payments,
}


def _refusal(name: str, path: str) -> errors.ApiError:
    return errors.bad_parameter(
        f"This property cannot be expanded ({name}). Path: {path}", param="expand"
    )
