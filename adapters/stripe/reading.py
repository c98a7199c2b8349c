"""Reads fields of Stripe's objects, of which any optional one may be absent.

Stripe leaves keys out where other APIs send null, and `StripeObject` raises for missing keys. So
adapters never read attributes: they use `field`, or `required` for a field that must be present.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import stripe

from domain.errors import UnreadableAnswerError


def field(found: object, path: str) -> Any:
    """Return the value at a path in one of Stripe's objects.

    Args:
        found: Object of the SDK, dictionary, id in place of an object, or None.
        path: Names of keys, joined by dots; a number is a position in a list.

    Returns:
        The value; None if the value, or an object on the path to it, is absent or null.
    """
    for name in path.split("."):
        found = _entry(found, name)
    return found


def required(found: object, path: str) -> Any:
    """Return the value at a path, and raise if it is absent.

    Raises:
        UnreadableAnswerError: The value is absent or null.
    """
    value = field(found, path)
    if value is None:
        raise unreadable(found, path)
    return value


def entries(found: object, path: str) -> Sequence[Any]:
    """Return the entries of a list object that is embedded in another object."""
    data = field(found, f"{path}.data")
    return data if isinstance(data, list) else []


def list_entries(found: object) -> Sequence[Any]:
    """Return the entries of a page of a list.

    Raises:
        UnreadableAnswerError: The page has no entries, not even an empty list.
    """
    data = field(found, "data")
    if not isinstance(data, list):
        raise unreadable(found, "data")
    return data


def as_json(found: stripe.StripeObject) -> bytes:
    """Return an object as JSON, with the keys that Stripe sent."""
    return orjson.dumps(found.to_dict(for_json=True))


def object_id(reference: object) -> str | None:
    """Return the id of a reference, which is an id or, if expanded, an object."""
    if reference is None or isinstance(reference, str):
        return reference
    value = field(reference, "id")
    return None if value is None else str(value)


def metadata_of(found: object) -> dict[str, str]:
    """Return an object's metadata; empty if it is absent."""
    metadata = field(found, "metadata")
    if isinstance(metadata, stripe.StripeObject):
        metadata = metadata.to_dict()
    return {} if metadata is None else dict(metadata)


def metadata_id(found: object, name: str) -> UUID | None:
    """Return one of our ids from an object's metadata; None if it is absent or invalid."""
    value = field(found, f"metadata.{name}")
    try:
        return UUID(value) if value else None
    except (ValueError, AttributeError, TypeError):
        return None


def code_of_failure(failure: object) -> str:
    """Return why a charge failed: the decline code, else Stripe's code, else the error's type.

    Many declines have no `decline_code`; a failed 3-D Secure authentication has only a `code`.
    """
    names = ("decline_code", "code", "type")
    return next((str(code) for name in names if (code := field(failure, name))), "card_declined")


def to_datetime(timestamp: Any) -> datetime | None:
    """Convert Stripe's seconds since the epoch to a time; None if they are absent.

    Raises:
        UnreadableAnswerError: The value is not a valid time.
    """
    if timestamp is None:
        return None
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise unreadable(None, "a time") from error


def required_time(found: object, path: str) -> datetime:
    """Return the time at a path, and raise if it is absent.

    Raises:
        UnreadableAnswerError: The time is absent, null or invalid.
    """
    value = to_datetime(field(found, path))
    if value is None:
        raise unreadable(found, path)
    return value


def unreadable(found: object, path: str) -> UnreadableAnswerError:
    """Return the error for a field that cannot be read."""
    kind = field(found, "object") or "answer"
    details = {"object": kind, "object_id": field(found, "id"), "field": path}
    return UnreadableAnswerError(f"Stripe's {kind} cannot be read: {path}", details=details)


def _entry(found: object, name: str) -> Any:
    if isinstance(found, list):
        position = int(name) if name.isdecimal() else len(found)
        return found[position] if position < len(found) else None
    if isinstance(found, Mapping):
        return found.get(name)
    if isinstance(found, stripe.StripeObject):
        try:
            return found[name]  # Reason: `.items` and similar names are methods of SDK objects
        except KeyError:
            return None
    return None
