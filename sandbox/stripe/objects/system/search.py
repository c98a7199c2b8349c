"""Search: objects by Stripe's query language, such as `email:"a@b.c" AND metadata["k"]:"v"`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import ge, gt, le, lt
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import Group, Integer, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, shown

_TEXT = r'"(?:[^"\\]|\\.)*"|' r"'(?:[^'\\]|\\.)*'"
_CLAUSE = re.compile(
    rf"(?P<minus>-?)(?P<field>[a-z_0-9.]+)(?:\[(?P<key>{_TEXT})\])?"
    rf"(?P<operator>>=|<=|[:~><=])(?P<value>{_TEXT}|-?\d+|null|true|false)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s+(?:(AND|OR)\s+)?", re.IGNORECASE)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
_MAX_CLAUSES = 10
_LEAST_PART = 3
_PARAMS = Group(
    {"limit": Integer(minimum=1, maximum=100), "page": Text(), "query": Text()},
    required=("query",),
)
_CARD = "payment_method_details.card"
_IN_INVOICES = {"subscription": "parent.subscription_details.subscription"}
_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "charges": (
        "charge",
        (
            "amount",
            "billing_details.address.postal_code",
            "created",
            "currency",
            "customer",
            "disputed",
            *(f"{_CARD}.{name}" for name in ("brand", "exp_month", "exp_year", "fingerprint")),
            f"{_CARD}.last4",
            "refunded",
            "status",
        ),
    ),
    "customers": ("customer", ("created", "email", "name", "phone")),
    "invoices": (
        "invoice",
        (
            "created",
            "currency",
            "customer",
            "number",
            "receipt_number",
            "status",
            "subscription",
            "total",
        ),
    ),
    "payment_intents": (
        "payment_intent",
        ("amount", "created", "currency", "customer", "status"),
    ),
    "prices": ("price", ("active", "currency", "lookup_key", "product", "type")),
    "products": ("product", ("active", "description", "name", "shippable", "url")),
    "subscriptions": ("subscription", ("canceled_at", "created", "status")),
}
"""What can be searched, and by which fields beside `metadata`."""


@dataclass(frozen=True)
class Clause:
    """One condition of a query."""

    is_negated: bool
    field: str
    key: str | None
    operator: str
    value: Any

    def holds(self, body: Object) -> bool:
        """Return whether an object is as the clause wants it."""
        return self._is_met(self._found(body)) != self.is_negated

    def _found(self, body: Object) -> Any:
        if self.key is not None:
            return body["metadata"].get(self.key)
        node: Any = body
        path = _IN_INVOICES.get(self.field, self.field) if body["object"] == "invoice" else ""
        for name in (path or self.field).split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def _is_met(self, found: Any) -> bool:
        if found is None or self.value is None:
            return found is None and self.value is None
        if self.operator in _ORDER:
            return isinstance(found, int) and _ORDER[self.operator](found, int(self.value))
        wanted, given = _folded(self.value), _folded(found)
        return wanted in given if self.operator == "~" else wanted == given


def _folded(value: Any) -> str:
    return str(value).casefold()


def parse(query: str, fields: tuple[str, ...]) -> tuple[list[Clause], bool]:
    """Return the clauses of a query, and whether one of them is enough.

    Raises:
        ApiError: If it cannot be read, or asks for a field that cannot be searched by.
    """
    clauses, words, place = [], set(), 0
    while True:
        match = _CLAUSE.match(query, place)
        if match is None:
            raise _unreadable(query)
        clauses.append(_clause(match, fields))
        place = match.end()
        if not query[place:].strip():
            break
        between = _BETWEEN.match(query, place)
        if between is None:
            raise _unreadable(query)
        words.add((between[1] or "AND").upper())
        place = between.end()
    if len(words) > 1:
        raise errors.bad_parameter("A query cannot combine AND with OR.", param="query")
    if len(clauses) > _MAX_CLAUSES:
        raise errors.bad_parameter(
            f"A query has at most {_MAX_CLAUSES} clauses; this one has {len(clauses)}.",
            param="query",
        )
    return clauses, words == {"OR"}


def _clause(match: re.Match[str], fields: tuple[str, ...]) -> Clause:
    field, operator, value = match["field"], match["operator"], _value(match["value"])
    if (field == "metadata") != (match["key"] is not None) or field not in (*fields, "metadata"):
        raise errors.bad_parameter(
            f"Field `{field}` is an unsupported search field.", param="query"
        )
    if operator == "~" and (not isinstance(value, str) or len(value) < _LEAST_PART):
        raise errors.bad_parameter(
            f"The operator `~` needs a string of at least {_LEAST_PART} characters.", param="query"
        )
    if operator in _ORDER and not re.fullmatch(r"-?\d+", str(value)):
        raise errors.bad_parameter(f"The operator `{operator}` needs a number.", param="query")
    key = _value(match["key"]) if match["key"] else None
    return Clause(bool(match["minus"]), field, key, ":" if operator == "=" else operator, value)


def _value(text: str) -> Any:
    if text[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return None if text.lower() == "null" else text


def _unreadable(query: str) -> errors.ApiError:
    return errors.bad_parameter(
        f"We were unable to parse your search query {query!r}. A clause is "
        '`field:"value"` or `metadata["key"]:"value"`, joined by AND or OR.',
        param="query",
    )


def _search(session: Session, params: dict[str, Any], *, name: str) -> Object:
    kind, fields = _KINDS[name]
    clauses, is_any = parse(params["query"], fields)
    enough = any if is_any else all
    found = [
        body
        for body in session.find(kind)
        if not body.get("deleted") and enough(clause.holds(body) for clause in clauses)
    ]
    page = params.get("page") or "0"
    if not page.isdigit():
        raise errors.bad_parameter(f"Invalid page: {page}", param="page")
    begin, limit = int(page), params.get("limit", 10)
    end = begin + limit
    return {
        "object": "search_result",
        "data": [shown(body) for body in found[begin:end]],
        "has_more": end < len(found),
        "next_page": str(end) if end < len(found) else None,
        "url": f"/v1/{name}/search",
    }


ROUTES = tuple(
    Route("GET", f"/v1/{name}/search", partial(_search, name=name), _PARAMS) for name in _KINDS
)
