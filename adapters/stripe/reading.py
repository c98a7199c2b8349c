"""Read fields of Stripe's objects, of which any optional one may be absent.

Stripe leaves keys out where other APIs say null, and `StripeObject` raises for them. So no
adapter reads an attribute: all go through `field`, or `required` where nothing can be said without.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

from domain.errors import UnreadableAnswerError


def field(found: object, path: str) -> Any:
    """Return what stands at a path in one of Stripe's objects.

    Args:
        found: An object of the SDK, a dictionary, an id in its place, or nothing.
        path: Names of keys, joined by dots; a number is a position in a list.

    Returns:
        The value; None if it, or something on the way to it, is absent or null.
    """
    for name in path.split("."):
        found = _entry(found, name)
    return found


def required(found: object, path: str) -> Any:
    """Return what stands at a path, and must.

    Raises:
        UnreadableAnswerError: It is absent, or null.
    """
    value = field(found, path)
    if value is None:
        raise unreadable(found, path)
    return value


def entries(found: object, path: str) -> Sequence[Any]:
    """Return the entries of a list object of Stripe's that is embedded in another one."""
    data = field(found, f"{path}.data")
    return data if isinstance(data, list) else []


def object_id(reference: object) -> str | None:
    """Return the id of what Stripe shows either as an id or, expanded, as an object."""
    if reference is None or isinstance(reference, str):
        return reference
    value = field(reference, "id")
    return None if value is None else str(value)


def metadata_id(found: object, name: str) -> UUID | None:
    """Return an id of ours from an object's metadata, unless somebody spoilt it by hand."""
    value = field(found, f"metadata.{name}")
    try:
        return UUID(value) if value else None
    except (ValueError, AttributeError, TypeError):
        return None


def code_of_failure(failure: object) -> str:
    """Return why a charge failed: the issuer's reason, else Stripe's code, else the error's type.

    Many declines have no `decline_code`; a failed 3-D Secure has a code only.
    """
    names = ("decline_code", "code", "type")
    return next((str(code) for name in names if (code := field(failure, name))), "card_declined")


def to_datetime(timestamp: Any) -> datetime | None:
    """Convert Stripe's seconds since the epoch, if there are any.

    Raises:
        UnreadableAnswerError: It is no time that can be told.
    """
    if timestamp is None:
        return None
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise unreadable(None, "a time") from error


def required_time(found: object, path: str) -> datetime:
    """Return the time that stands at a path, and must.

    Raises:
        UnreadableAnswerError: It is absent, null, or no time.
    """
    moment = to_datetime(field(found, path))
    if moment is None:
        raise unreadable(found, path)
    return moment


def unreadable(found: object, path: str) -> UnreadableAnswerError:
    """Return the error that says which field of which object cannot be read."""
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
            return found[name]  # Reason: `.items` and its like are methods of the SDK's objects
        except KeyError:
            return None
    return None
