"""Kinds of objects that nothing here can make: their lists are empty, and no id is one of them."""

from functools import partial
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import PAGE, Boolean, Group, Param, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing

_CREATED: dict[str, Param] = {"created": Range()}
_KINDS: dict[str, tuple[str, dict[str, Param]]] = {
    "/v1/application_fees": ("application fee", {**_CREATED, "charge": Text()}),
    "/v1/billing/alerts": ("alert", {"alert_type": Text(), "meter": Text()}),
    "/v1/billing/credit_grants": ("credit grant", {"customer": Text()}),
    "/v1/entitlements/features": ("feature", {"archived": Boolean(), "lookup_key": Text()}),
    "/v1/file_links": ("file link", {**_CREATED, "expired": Boolean(), "file": Text()}),
    "/v1/files": ("file upload", {**_CREATED, "purpose": Text()}),
    "/v1/payment_links": ("payment link", {"active": Boolean()}),
    "/v1/payouts": (
        "payout",
        {**_CREATED, "arrival_date": Range(), "destination": Text(), "status": Text()},
    ),
    "/v1/quotes": ("quote", {"customer": Text(), "status": Text(), "test_clock": Text()}),
    "/v1/radar/early_fraud_warnings": (
        "early fraud warning",
        {**_CREATED, "charge": Text(), "payment_intent": Text()},
    ),
    "/v1/reviews": ("review", _CREATED),
    "/v1/shipping_rates": (
        "shipping rate",
        {**_CREATED, "active": Boolean(), "currency": Text()},
    ),
    "/v1/tax_ids": ("tax id", {}),
    "/v1/tax_rates": ("tax rate", {**_CREATED, "active": Boolean(), "inclusive": Boolean()}),
    "/v1/topups": ("top-up", {**_CREATED, "amount": Range(), "status": Text()}),
    "/v1/transfers": (
        "transfer",
        {**_CREATED, "destination": Text(), "transfer_group": Text()},
    ),
}
_OF_OTHERS: dict[str, tuple[str, str, dict[str, Param]]] = {
    "/v1/customers/{id}/cash_balance_transactions": ("customer", "cash balance transaction", {}),
    "/v1/customers/{id}/sources": ("customer", "source", {"object": Text()}),
    "/v1/customers/{id}/tax_ids": ("customer", "tax id", {}),
    "/v1/products/{id}/features": ("product", "product feature", {}),
}
"""Lists below an object, which must be there: its kind, and what there is none of."""
_ACTIVE = "/v1/entitlements/active_entitlements"


def _list(_session: Session, _params: dict[str, Any], *, url: str) -> Object:
    return listing(url, [])


def _refuse(_session: Session, _params: dict[str, Any], object_id: str, *, name: str) -> Object:
    raise errors.missing(name, object_id)


def _list_below(
    session: Session, _params: dict[str, Any], owner_id: str, *, url: str, kind: str
) -> Object:
    session.get(kind, owner_id)
    return listing(url.replace("{id}", owner_id), [])


def _refuse_below(
    session: Session,
    _params: dict[str, Any],
    owner_id: str,
    object_id: str,
    *,
    kind: str,
    name: str,
) -> Object:
    session.get(kind, owner_id)
    raise errors.missing(name, object_id)


def _list_entitlements(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/entitlements/active_entitlements: products have no features here."""
    session.get("customer", params["customer"], param="customer")
    return listing(_ACTIVE, [])


ROUTES = (
    Route("GET", _ACTIVE, _list_entitlements, Group({**PAGE, "customer": Text()}, ("customer",))),
    *(
        Route("GET", url, partial(_list, url=url), Group({**PAGE, **filters}))
        for url, (_, filters) in _KINDS.items()
    ),
    *(
        Route("GET", f"{url}/{{id}}", partial(_refuse, name=name))
        for url, (name, _) in _KINDS.items()
    ),
    *(
        Route("GET", url, partial(_list_below, url=url, kind=kind), Group({**PAGE, **filters}))
        for url, (kind, _, filters) in _OF_OTHERS.items()
    ),
    *(
        Route("GET", f"{url}/{{id}}", partial(_refuse_below, kind=kind, name=name))
        for url, (kind, name, _) in _OF_OTHERS.items()
    ),
)
