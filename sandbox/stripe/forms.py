"""Stripe's form encoding: `items[0][price]=price_1&expand[]=latest_invoice`."""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.errors import bad_parameter

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def decode(encoded: str) -> dict[str, Any]:
    """Turn a query string or form body into nested dictionaries.

    Lists stay dictionaries with number keys here: only the parameter's type knows which is meant.

    Args:
        encoded: What came over the wire.

    Returns:
        The nested parameters, every leaf a string.

    Raises:
        ApiError: If one name is used both as a value and as a group.
    """
    decoded: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        head, *rest = _split(name)
        group: dict[str, Any] = decoded
        for part in rest:
            inner = group.setdefault(head, {})
            if not isinstance(inner, dict):
                raise bad_parameter(f"Invalid request: {name} is both a value and a group.")
            group = inner
            head = part or str(len(group))
        group[head] = value
    return decoded


def listed(value: Any) -> Any:
    """Return `value` with number-keyed groups as lists, for people to read."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [listed(value[key]) for key in sorted(value, key=int)]
    return {key: listed(inner) for key, inner in value.items()}


def _split(name: str) -> list[str]:
    head, bracket, _ = name.partition("[")
    return [head, *_BRACKETS.findall(name[len(head) :])] if bracket else [name]
