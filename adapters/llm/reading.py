"""Reads values from a provider's JSON; a value of the wrong type counts as absent."""

from typing import Any

Json = dict[str, Any]


def an_object(value: Any) -> Json:
    """Return a JSON object; an empty object if the value is not an object."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Json]:
    """Return the objects of a list; a single object counts as a list of one."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def a_text(value: Any) -> str:
    """Return a text; an empty text if the value is not a text."""
    return value if isinstance(value, str) else ""


def texts(value: Any) -> str:
    """Return a text, also from a list of texts or of parts that contain a text."""
    if isinstance(value, list):
        return "".join(
            a_text(part) or a_text(an_object(part).get("text") or an_object(part).get("content"))
            for part in value
        )
    return a_text(value)


def a_count(value: Any) -> int | None:
    """Return a number of tokens; None if the value is not a valid number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 else None


def count_of(value: Any) -> int:
    """Return a number of tokens; 0 if the value is not a valid number."""
    return a_count(value) or 0
