"""`expand[]`: ids in an answer replaced by the objects that they name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import prices
from sandbox.stripe.objects.hosted import checkout_breakdown, checkout_sessions
from sandbox.stripe.objects.payments import refunds
from sandbox.stripe.objects.subscriptions import subscriptions
from sandbox.stripe.session import Object, Session, listing, page_of, shown

_EXPANDABLE: dict[str, frozenset[str]] = {
    kind: frozenset(names)
    for kind, names in orjson.loads(
        (Path(__file__).parent / "expandable.json").read_bytes()
    ).items()
}
"""What Stripe marks as expandable, by kind of object; `tests/sandbox/expandable.py` writes it."""
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
        _walk(session, answer, parts, path, answer)
    return answer


def _walk(session: Session, node: Any, parts: list[str], path: str, owner: Object) -> None:
    """Expand in a node; `owner` is the object that it belongs to."""
    if not parts or node is None:
        return
    if isinstance(node, list):
        for entry in node:
            _walk(session, entry, parts, path, owner)
        return
    head, rest = parts[0], parts[1:]
    if not isinstance(node, dict):
        raise _refusal(head, path)
    if "object" in node:
        owner = node
    if node.get(head) is None or isinstance(node[head], str):
        if head not in _EXPANDABLE.get(owner.get("object", ""), ()):
            raise _refusal(head, path)
        _fill(session, node, head, path, owner)
    elif isinstance(node[head], list):
        node[head] = [
            _named(session, entry, head, path) if isinstance(entry, str) else entry
            for entry in node[head]
        ]
    elif not rest and not isinstance(node[head], dict):
        raise _refusal(head, path)
    _walk(session, node.get(head), rest, path, owner)


def _fill(session: Session, node: Object, name: str, path: str, owner: Object) -> None:
    """Replace an id by its object, and put in what is there only when it is asked for."""
    if name in node:
        if node[name] is not None:
            node[name] = _named(session, node[name], name, path)
        return
    include = _INCLUDED.get((str(owner["object"]), name))
    if include and not owner.get("deleted"):
        node[name] = include(session, owner)


def _named(session: Session, object_id: str, name: str, path: str) -> Object:
    found = session.store.get(object_id)
    if found is None:
        raise _refusal(name, path)
    return prices.plan_of(found) if name == "plan" else shown(found)


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


def _none_of(name: str) -> Callable[[Session, Object], Object]:
    """Return what shows the empty list of something that no customer has here."""
    return lambda _session, customer: listing(f"/v1/customers/{customer['id']}/{name}", [])


def _tax(_session: Session, _customer: Object) -> Object:
    """Show what Stripe says of customers of whom it knows no place to tax."""
    return {
        "automatic_tax": "unrecognized_location",
        "ip_address": None,
        "location": None,
        "provider": "stripe",
    }


def _price_options(_session: Session, price: Object) -> Object:
    names = ("custom_unit_amount", "tax_behavior", "unit_amount", "unit_amount_decimal")
    return {price["currency"]: {name: price[name] for name in names}}


def _coupon_options(_session: Session, coupon: Object) -> Object | None:
    if coupon["amount_off"] is None:
        return None
    return {coupon["currency"]: {"amount_off": coupon["amount_off"]}}


def _code_options(_session: Session, code: Object) -> Object | None:
    limits = code["restrictions"]
    if limits["minimum_amount"] is None:
        return None
    return {limits["minimum_amount_currency"]: {"minimum_amount": limits["minimum_amount"]}}


_INCLUDED: dict[tuple[str, str], Callable[[Session, Object], Object | None]] = {
    ("charge", "refunds"): _refunds,
    ("checkout.session", "breakdown"): checkout_breakdown.breakdown,
    ("checkout.session", "line_items"): _lines,
    ("coupon", "applies_to"): _products,
    ("coupon", "currency_options"): _coupon_options,
    ("customer", "sources"): _none_of("sources"),
    ("customer", "subscriptions"): _subscriptions,
    ("customer", "tax"): _tax,
    ("customer", "tax_ids"): _none_of("tax_ids"),
    ("invoice", "confirmation_secret"): _secret,
    ("invoice", "payments"): _payments,
    ("price", "currency_options"): _price_options,
    ("promotion_code", "currency_options"): _code_options,
}


def _refusal(name: str, path: str) -> errors.ApiError:
    return errors.bad_parameter(
        f"This property cannot be expanded ({name}). Path: {path}", param="expand"
    )
