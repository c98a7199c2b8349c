"""Addresses, as people, bills and parcels have them."""

from typing import Any

from sandbox.stripe.params import Email, Group, Param, Text
from sandbox.stripe.session import Object

_LINES = ("city", "country", "line1", "line2", "postal_code", "state")
ADDRESS = Group({name: Text() for name in _LINES})
SHIPPING = Group(
    {
        "address": ADDRESS,
        "carrier": Text(),
        "name": Text(),
        "phone": Text(),
        "tracking_number": Text(),
    },
    required=("address", "name"),
)
BILLING: dict[str, Param] = {
    "address": ADDRESS,
    "email": Email(),
    "name": Text(),
    "phone": Text(),
    "tax_id": Text(),
}
NO_BILLING: Object = {
    "address": dict.fromkeys(_LINES),
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def billing(old: Object, changes: dict[str, Any]) -> Object:
    """Return billing details after an update."""
    address = old["address"] | changes.get("address", {})
    return {**old, **changes, "address": address}


def address(given: dict[str, Any] | None) -> Object | None:
    """Return an address with all its parts, or None without any."""
    return dict.fromkeys(_LINES) | given if given else None


def shipping(given: dict[str, Any] | None) -> Object | None:
    """Return a parcel's way in full."""
    if not given:
        return None
    blank = dict.fromkeys(("carrier", "phone", "tracking_number"))
    return {**blank, **given, "address": dict.fromkeys(_LINES) | given["address"]}
