"""Answers of Stripe as they may also look, derived from the SDK's own annotations."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin

import stripe
from stripe._stripe_object import UntypedStripeObject

from sandbox.stripe.checks import methods
from sandbox.stripe.checks.types import fields
from tests.adapters.stripe.scenes import Answer

Path = tuple[str | int, ...]


class Change(StrEnum):
    """What is done to one value of an answer."""

    DROPPED = "dropped"
    NULL = "null"
    REFERENCE = "id instead of object"
    EXPANDED = "object instead of id"
    DELETED = "deleted object"


@dataclass(frozen=True)
class Place:
    """One value of an answer.

    Args:
        path: Where it stands.
        is_optional: Whether the SDK says that it may be absent.
        is_expandable: Whether it is an id or an object.
        can_be_deleted: Whether the object in its place may have been deleted.
    """

    path: Path
    is_optional: bool
    is_expandable: bool = False
    can_be_deleted: bool = False


def places(answer: Answer) -> Iterator[Place]:
    """Return every value of an answer that is read by a key."""
    if answer.status >= 400:  # errors have no class that says what may be absent: all may
        yield from _untyped(answer.body["error"], ("error",))
        return
    wanted = _wanted(answer.method, answer.path)
    assert wanted is not None, (answer.method, answer.path)
    yield from _of(answer.body, wanted, ())


def changes(answer: Answer, place: Place) -> Iterator[tuple[Change, Answer]]:
    """Return the answer as it may look with one value changed."""
    body = answer.body
    value = _at(body, place.path)
    for change in (Change.DROPPED, Change.NULL):
        yield change, _with(answer, place.path, change, None)
    if not place.is_expandable:
        return
    if isinstance(value, dict) and "id" in value:
        yield Change.REFERENCE, _with(answer, place.path, Change.REFERENCE, value["id"])
        if place.can_be_deleted:
            gone = {"id": value["id"], "object": value.get("object"), "deleted": True}
            yield Change.DELETED, _with(answer, place.path, Change.DELETED, gone)
    elif isinstance(value, str):
        shown = {"id": value, "object": str(place.path[-1])}
        yield Change.EXPANDED, _with(answer, place.path, Change.EXPANDED, shown)
        gone = {**shown, "deleted": True}
        yield Change.DELETED, _with(answer, place.path, Change.DELETED, gone)


def without_optional(answer: Answer) -> Answer:
    """Return an answer without any key that may be absent."""
    body = copy.deepcopy(answer.body)
    optional = [place.path for place in places(answer) if place.is_optional]
    for path in sorted(optional, key=len, reverse=True):
        owner = _at(body, path[:-1])
        if isinstance(owner, dict):
            owner.pop(path[-1], None)
    return Answer(answer.method, answer.path, answer.status, body)


def without_nulls(answer: Answer) -> Answer:
    """Return an answer in which every key is absent that is null, as Stripe does in errors."""
    return Answer(answer.method, answer.path, answer.status, _strip(answer.body))


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(inner) for key, inner in value.items() if inner is not None}
    return [_strip(inner) for inner in value] if isinstance(value, list) else value


def _of(value: Any, wanted: Any, path: Path) -> Iterator[Place]:
    owner = _owner(value, wanted)
    if get_origin(owner) in {stripe.ListObject, stripe.SearchResultObject}:
        for key in value:
            yield Place((*path, key), is_optional=False)
        for number, entry in enumerate(value.get("data", [])):
            yield from _of(entry, get_args(owner)[0], (*path, "data", number))
    elif get_origin(owner) is list:
        for number, entry in enumerate(value):
            yield from _of(entry, get_args(owner)[0], (*path, number))
    elif get_origin(owner) in {UntypedStripeObject, dict}:
        for key in value:
            yield Place((*path, key), is_optional=True)
    elif isinstance(owner, type) and issubclass(owner, stripe.StripeObject):
        kinds, required = _fields(owner)
        for key, inner in value.items():
            kind = kinds.get(key, Any)
            yield Place(
                (*path, key),
                is_optional=key not in required,
                is_expandable=_is_expandable(kind),
                can_be_deleted=_can_be_deleted(kind),
            )
            yield from _of(inner, kind, (*path, key))


def _owner(value: Any, wanted: Any) -> Any:
    """Return the part of an annotation that describes a value."""
    if get_origin(wanted) is not Union:
        return wanted if isinstance(value, dict | list) else None
    for arm in get_args(wanted):
        is_many = get_origin(arm) is list
        if isinstance(value, list) and is_many:
            return arm
        if isinstance(value, dict) and not is_many and arm not in {str, type(None)}:
            return arm
    return None


def _is_expandable(kind: Any) -> bool:
    arms = get_args(kind)
    return str in arms and any(
        isinstance(arm, type) and issubclass(arm, stripe.StripeObject) and "id" in _fields(arm)[0]
        for arm in arms
    )


def _can_be_deleted(kind: Any) -> bool:
    return any(
        isinstance(arm, type)
        and issubclass(arm, stripe.StripeObject)
        and "deleted" in _fields(arm)[0]
        for arm in get_args(kind)
    )


def _fields(owner: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the fields of one of the SDK's classes, and which are required."""
    return fields(owner)


def _untyped(value: Any, path: Path) -> Iterator[Place]:
    if isinstance(value, dict):
        for key, inner in value.items():
            # Reason: the type is what makes an error one; all else Stripe may leave out.
            yield Place((*path, key), is_optional=path != ("error",) or key != "type")
            yield from _untyped(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _untyped(inner, (*path, number))


@cache
def _wanted(method: str, path: str) -> Any:
    for verb, pattern in methods.signatures():
        if verb == method and re.fullmatch(re.sub(r"\{id\}", "[^/]+", pattern), path):
            found = methods.find(verb, pattern)
            if found is not None and ("{id}" in pattern) is not (pattern == path):
                return found.answer
    return None


def _at(body: Any, path: Path) -> Any:
    for step in path:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def _with(answer: Answer, path: Path, change: Change, value: Any) -> Answer:
    """Return an answer with one value changed; all that is not on the way to it is shared."""
    changed = copy.copy(answer.body)
    owner = changed
    for step in path[:-1]:
        owner[step] = copy.copy(owner[step])
        owner = owner[step]
    if change is Change.DROPPED:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return Answer(answer.method, answer.path, answer.status, changed)
