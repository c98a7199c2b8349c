"""Reads the bodies of Stripe's events, including malformed bodies."""

import json
from hashlib import sha256
from typing import Any, NamedTuple, TypeGuard

import orjson

NAME_LIMIT = 255
UNKNOWN_TYPE = "unknown"

# Reason: `int` refuses numbers with very many digits, `float` accepts them.
_INT_DIGITS = 400


class EventKey(NamedTuple):
    """Id and type under which an event is stored.

    Args:
        stripe_event_id: Stripe's id of the event, or an id made from the digest of the body.
        event_type: Stripe's type of the event, or `unknown`.
        flaw: Why the event can never be processed; None if it can.
        api_version: API version in which Stripe wrote the event; None if it does not say so.
    """

    stripe_event_id: str
    event_type: str
    flaw: str | None = None
    api_version: str | None = None


def read_event(body: bytes) -> dict[str, Any]:
    """Parse the body of an event.

    Args:
        body: Event as Stripe sent it.

    Returns:
        The fields. Lone surrogates and infinite or very long numbers are accepted, because they
        may be in fields that are never read.

    Raises:
        ValueError: The body is not a JSON object.
    """
    try:
        event = orjson.loads(body)
    except ValueError:
        try:
            event = json.loads(body, parse_int=_whole_number)
        except RecursionError as error:
            raise ValueError("the body is nested too deeply") from error
    if not isinstance(event, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - like any other bad body
    return event


def event_key(body: bytes) -> EventKey:
    """Return the id and type under which an event is stored, and its version; never fails."""
    try:
        event = read_event(body)
    except ValueError as error:
        return EventKey(_made_id(body), UNKNOWN_TYPE, f"the event cannot be read: {error}")
    stripe_event_id, event_type = event.get("id"), event.get("type")
    version = event.get("api_version")
    api_version = version if isinstance(version, str) else None
    if not is_storable_name(stripe_event_id):
        kind = event_type if is_storable_name(event_type) else UNKNOWN_TYPE
        flaw = "the event's id is missing or cannot be stored"
        return EventKey(_made_id(body), kind, flaw, api_version)
    if not is_storable_name(event_type):
        flaw = "the event's type is missing or cannot be stored"
        return EventKey(stripe_event_id, UNKNOWN_TYPE, flaw, api_version)
    return EventKey(stripe_event_id, event_type, None, api_version)


def is_storable_name(value: object) -> TypeGuard[str]:
    """Return whether a value can be an id or a type: a short printable text."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()


def _made_id(body: bytes) -> str:
    """Derive an id from the body, the same each time that the body is received."""
    return f"unreadable_{sha256(body).hexdigest()[:32]}"


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)
