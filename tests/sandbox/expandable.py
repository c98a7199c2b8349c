"""What Stripe marks as expandable, by kind of object: `python -m tests.sandbox.expandable`.

It writes `sandbox/stripe/expandable.json` from Stripe's OpenAPI document (`x-expandableFields`)
and, for what is newer than that, from the types of stripe-python.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import stripe

from sandbox.stripe.checks.referee import class_of
from sandbox.stripe.checks.types import fields
from sandbox.stripe.session import NAMES
from tests.sandbox.route_table import specification
from tests.sandbox.servers import ROOT

TABLE = ROOT / "sandbox" / "stripe" / "expandable.json"
KINDS = sorted(
    {
        *NAMES,
        "account",
        "billing_portal.session",
        "credit_note_line_item",
        "item",
        "line_item",
        "plan",
    }
)
"""All kinds of objects that the sandbox answers."""

Schemas = Mapping[str, Mapping[str, Any]]


def table() -> dict[str, list[str]]:
    """Return the names that can be expanded in each kind of object, at whatever depth in it."""
    schemas: Schemas = specification()["components"]["schemas"]
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for name, schema in schemas.items():
        kind = _kind(schema)
        if kind in found and not name.startswith("deleted_"):
            found[kind] |= _of_schema(schemas, name, set())
    for kind in KINDS:
        found[kind] |= _of_class(class_of(kind), set())
    return {kind: sorted(names) for kind, names in found.items()}


def render() -> str:
    """Return the file as it should be."""
    return json.dumps(table(), indent=1) + "\n"


def _kind(schema: Mapping[str, Any]) -> str | None:
    names = schema.get("properties", {}).get("object", {}).get("enum")
    return names[0] if names else None


def _of_schema(schemas: Schemas, name: str, seen: set[str]) -> set[str]:
    """Return the names that a schema marks, and the groups inside it that are no objects."""
    seen.add(name)
    found = set(schemas[name].get("x-expandableFields", []))
    for inner in _references(schemas[name].get("properties", {})):
        if inner not in seen and _kind(schemas[inner]) is None:
            found |= _of_schema(schemas, inner, seen)
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for entry in node:
            yield from _references(entry)
    elif isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for name, entry in node.items():
            if name != "x-expansionResources":
                yield from _references(entry)


def _of_class(owner: Any, seen: set[Any]) -> set[str]:
    """Return the fields that are an id or its object, and those of the groups inside."""
    seen.add(owner)
    found = set()
    for name, kind in fields(owner)[0].items():
        arms = set(_arms(kind))
        objects = {arm for arm in arms if hasattr(arm, "OBJECT_NAME")}
        if str in arms and objects:
            found.add(name)
        for group in arms - objects:
            if issubclass(group, stripe.StripeObject) and group not in seen:
                found |= _of_class(group, seen)
    return found


def _arms(kind: Any) -> Iterator[type]:
    inner = get_args(kind)
    if not inner and isinstance(kind, type):
        yield kind
    for arm in inner:
        yield from _arms(arm)


if __name__ == "__main__":
    TABLE.write_text(render())
