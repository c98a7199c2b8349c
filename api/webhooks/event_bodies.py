"""Reads the bodies of Stripe's events, also of those that no careful sender would write."""

import json
from hashlib import sha256
from typing import Any, NamedTuple, TypeGuard

import orjson

NAME_LIMIT = 255
UNKNOWN_TYPE = "unknown"

# Reason: `float` reads any number of digits, `int` refuses the longest.
_INT_DIGITS = 400


class EventNames(NamedTuple):
    """What an event is stored under.

    Args:
        stripe_event_id: Stripe's id of it, or one made of the body's digest.
        event_type: Stripe's name of what happened, or `unknown`.
        flaw: Why the event can never be processed; None if it can.
    """

    stripe_event_id: str
    event_type: str
    flaw: str | None = None


def read_event(body: bytes) -> dict[str, Any]:
    """Read an event.

    Args:
        body: The event as it came.

    Returns:
        Its fields. Lone surrogates, infinite and very long numbers are let through: they may
        stand where nobody looks.

    Raises:
        ValueError: It is no JSON object.
    """
    try:
        event = orjson.loads(body)
    except ValueError:
        try:
            event = json.loads(body, parse_int=_whole_number)
        except RecursionError as error:
            raise ValueError("the body is nested too deeply") from error
    if not isinstance(event, dict):
        raise ValueError("the body is no object")  # noqa: TRY004 - like any other bad body
    return event


def name_event(body: bytes) -> EventNames:
    """Return what an event is stored under; never fails, whatever the body is."""
    try:
        event = read_event(body)
    except ValueError as error:
        return EventNames(_made_id(body), UNKNOWN_TYPE, f"no event can be read: {error}")
    stripe_event_id, event_type = event.get("id"), event.get("type")
    if not is_name(stripe_event_id):
        kind = event_type if is_name(event_type) else UNKNOWN_TYPE
        return EventNames(_made_id(body), kind, "the event's id is none that can be stored")
    if not is_name(event_type):
        flaw = "the event's type is none that can be stored"
        return EventNames(stripe_event_id, UNKNOWN_TYPE, flaw)
    return EventNames(stripe_event_id, event_type)


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether this can be an id or a type: printable text of a sane length."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()


def _made_id(body: bytes) -> str:
    """Make an id that is the same each time the same body comes."""
    return f"unreadable_{sha256(body).hexdigest()[:32]}"


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)
