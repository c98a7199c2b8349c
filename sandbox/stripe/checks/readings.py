"""How values are written in answers (JSON) and in requests (a form's strings)."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.stripe.checks.types import Reading

_INTEGER = re.compile(r"-?\d+")


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _is_decimal(value: Any) -> bool:
    try:
        return isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _json_entries(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def _form_entries(value: Any) -> list[Any] | None:
    if not isinstance(value, dict) or not all(key.isdigit() for key in value):
        return None
    return [value[key] for key in sorted(value, key=int)]


JSON = Reading(
    plain={
        bool: _is(bool),
        Decimal: _is_decimal,
        float: _is(int, float),
        int: _is(int),
        str: _is(str),
    },
    entries=_json_entries,
)
FORM = Reading(
    plain={
        bool: lambda value: value in ("true", "false"),
        Decimal: _is_decimal,
        float: _is_decimal,
        int: lambda value: isinstance(value, str) and bool(_INTEGER.fullmatch(value)),
        str: _is(str),
    },
    entries=_form_entries,
)
