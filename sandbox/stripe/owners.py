"""Whom a request or an event is about."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.stripe.store import Row, Store

_REFERENCES = (
    "customer",
    "subscription",
    "invoice",
    "charge",
    "payment_intent",
    "payment_method",
    "from_subscription",
    "source",
)
_FARTHEST = 3


@dataclass(frozen=True)
class Owner:
    """A customer, as far as known: one who is just being made has no id yet."""

    customer: str | None = None
    email: str | None = None


def owner_of_request(store: Store, path: str, params: Mapping[str, Any]) -> Owner:
    """Return whom a request is about: by the ids in its path, then by its parameters."""
    for place in path.split("/")[2:]:
        found = store.get(place) if "_" in place else None
        if found and (owner := _owner(store, found)):
            return owner
    for found in _named(store, params):
        if owner := _owner(store, found):
            return owner
    email = params.get("email") if path == "/v1/customers" else None
    return Owner(None, str(email)) if email else Owner()


def owner_of_object(store: Store, body: Row) -> Owner:
    """Return whom an object belongs to."""
    return _owner(store, body) or Owner()


def _owner(store: Store, body: Row, distance: int = 0) -> Owner | None:
    if body.get("object") == "customer":
        return Owner(body["id"], body.get("email") or body.get("_email"))
    if distance == _FARTHEST:
        return None
    places = (body, body.get("payment") or {})
    for found in [found for place in places for found in _named(store, place)]:
        if owner := _owner(store, found, distance + 1):
            return owner
    return None


def _named(store: Store, fields: Mapping[str, Any]) -> Iterator[Row]:
    for name in _REFERENCES:
        given = fields.get(name)
        object_id = given.get("id") if isinstance(given, Mapping) else given
        found = store.get(object_id) if isinstance(object_id, str) else None
        if found:
            yield found


def values_of(params: Any) -> Iterable[str]:
    """Yield all values of decoded parameters."""
    if isinstance(params, Mapping):
        for value in params.values():
            yield from values_of(value)
    elif isinstance(params, list):
        for value in params:
            yield from values_of(value)
    else:
        yield str(params)
