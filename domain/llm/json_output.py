"""Reads the JSON that a model was asked for. Pure; nothing is repaired, since values may matter."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from domain.errors import InvalidInputError

# Reason: what reads the document later may take neither deeper ones nor larger numbers.
MAX_DEPTH = 64
MAX_WHOLE = 2**63
# Reason: many models put a fence around the whole answer, and asking again costs money.
_FENCED = re.compile(r"\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


def read_json_output(text: str) -> Any:
    """Read an answer that is one JSON document, possibly within one code fence.

    Args:
        text: Whole text of the answer.

    Raises:
        InvalidInputError: It is anything else; the message tells the model what is wrong.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        document = json.loads(
            fenced[1] if fenced else text,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
        )
        _check_depth(document)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError(f"the answer is not one JSON document: {error.msg}, {place}") from (
            error
        )
    except ValueError as error:
        raise InvalidInputError("the answer has a number that is none, or too large") from error
    except RecursionError as error:
        raise InvalidInputError("the answer is nested too deeply") from error
    return document


def with_texts(document: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON document with each of its texts changed; names stay.

    Args:
        document: The document.
        change: Called with each text, in their order; returns the new one.
    """
    if isinstance(document, str):
        return change(document)
    if isinstance(document, list):
        return [with_texts(each, change) for each in document]
    if isinstance(document, dict):
        return {name: with_texts(each, change) for name, each in document.items()}
    return document


def texts_of(document: Any) -> str:
    """Return all texts of a JSON document, one a line."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    with_texts(document, keep)
    return "\n".join(found)


def is_strict(schema: Any) -> bool:
    """Tell whether a schema can be enforced strictly: each object names and requires all it has."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if "properties" in schema or schema.get("type") == "object":
        names = set(schema.get("properties", {}))
        if schema.get("additionalProperties") is not False:
            return False
        if names != set(schema.get("required", ())):
            return False
    return all(map(is_strict, schema.values()))


def _check_depth(document: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    below = document.values() if isinstance(document, dict) else document
    if isinstance(document, dict | list):
        for each in below:
            _check_depth(each, depth + 1)


def _refuse(name: str) -> float:
    raise ValueError(name)


def _whole(digits: str) -> int:
    if abs(number := int(digits)) >= MAX_WHOLE:
        raise ValueError(digits)
    return number


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(digits)
    return number
