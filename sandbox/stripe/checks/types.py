"""Checkers made of the SDK's annotations.

Enumerations are closed: the SDK leaves them open (`Literal[...] | str`), this referee does not.
Fields that the SDK does not declare optional must be there; unknown ones are refused at any depth.
"""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import stripe
from stripe import RequestOptions, StripeObject
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import is_typeddict

from sandbox.stripe.checks import names

# What is wrong with a value, each entry beginning with the path below it.
Findings = Sequence[str]
Check = Callable[[Any], Findings]
FINE: Findings = ()
_PAGES: dict[Any, frozenset[str]] = {
    stripe.ListObject: frozenset({"object", "data", "has_more", "url"}),
    stripe.SearchResultObject: frozenset({"object", "data", "has_more", "next_page", "url"}),
}


@dataclass(frozen=True, eq=False)
class Reading:
    """How values are written: as JSON, or as the strings of a form.

    Attributes:
        plain: Whether a value is of a plain type, by type.
        entries: Returns the entries of a list, or None if the value is none.
    """

    plain: Mapping[Any, Callable[[Any], bool]]
    entries: Callable[[Any], list[Any] | None]


@dataclass(frozen=True)
class _Arm:
    check: Check
    is_group: bool


def fine(_value: Any) -> Findings:
    """Find nothing wrong."""
    return FINE


def _below(step: str, findings: Findings) -> list[str]:
    return [step + finding for finding in findings]


def _plain(wanted: Any, is_fitting: Callable[[Any], bool]) -> Check:
    def check(value: Any) -> Findings:
        if is_fitting(value):
            return FINE
        return [f": {value!r} is {type(value).__name__}, not {wanted.__name__}"]

    return check


def _literal(wanted: Any, _reading: Reading) -> Check:
    known = frozenset((type(word), word) for word in get_args(wanted))

    def check(value: Any) -> Findings:
        if not isinstance(value, dict | list) and (type(value), value) in known:
            return FINE
        return [f": {value!r} is not one of {len(known)} known values"]

    return check


def _union(wanted: Any, reading: Reading) -> Check:
    arms = get_args(wanted)
    is_nullable = type(None) in arms
    words = {word for arm in arms if get_origin(arm) is Literal for word in get_args(arm)}
    # Reason: beside words a bare `str` only leaves the enumeration open; `''` alone is no word.
    left_out = {type(None), str} if words - {""} else {type(None)}
    kept = [
        _Arm(checker(arm, reading), arm not in reading.plain and get_origin(arm) is not Literal)
        for arm in arms
        if arm not in left_out
    ]
    groups = [arm.check for arm in kept if arm.is_group]
    others = [arm.check for arm in kept if not arm.is_group]

    def check(value: Any) -> Findings:
        if value is None and is_nullable:
            return FINE
        fitting = (groups or others) if isinstance(value, dict | list) else (others or groups)
        least: Findings = FINE
        for arm in fitting:
            findings = arm(value)
            if not findings:
                return FINE
            if not least or len(findings) < len(least):
                least = findings
        return least

    return check


def _many(wanted: Any, reading: Reading) -> Check:
    entry = checker(get_args(wanted)[0], reading)

    def check(value: Any) -> Findings:
        entries = reading.entries(value)
        if entries is None:
            return [f": {value!r} is no list"]
        return [
            finding
            for number, inner in enumerate(entries)
            for finding in _below(f"[{number}]", entry(inner))
        ]

    return check


def _named(wanted: Any, reading: Reading) -> Check:
    entry = checker((get_args(wanted) or (Any,))[-1], reading)

    def check(value: Any) -> Findings:
        if not isinstance(value, dict):
            return [f": {value!r} is no dict"]
        return [
            finding
            for name, inner in value.items()
            for finding in _below(f"[{name}]", entry(inner))
        ]

    return check


def _page(wanted: Any, reading: Reading) -> Check:
    kind: Any = get_origin(wanted)
    keys, word = _PAGES[kind], kind.OBJECT_NAME
    entry = checker(get_args(wanted)[0], reading)

    def check(value: Any) -> Findings:
        if not isinstance(value, dict) or value.get("object") != word:
            return [f": no {word} object"]
        findings = [
            f".{key}: {'unknown' if key in value else 'missing'} in a {word}"
            for key in sorted(keys ^ value.keys())
        ]
        for number, inner in enumerate(value.get("data", [])):
            findings += _below(f".data[{number}]", entry(inner))
        return findings

    return check


_MAKERS: dict[Any, Callable[[Any, Reading], Check]] = {
    Literal: _literal,
    Union: _union,
    UntypedStripeObject: _named,
    dict: _named,
    list: _many,
    stripe.ListObject: _page,
    stripe.SearchResultObject: _page,
    types.UnionType: _union,
}


@cache
def checker(wanted: Any, reading: Reading) -> Check:
    """Return what checks values against an annotation whose names are resolved."""
    make = _MAKERS.get(get_origin(wanted) or wanted)
    if make is not None:
        return make(wanted, reading)
    if wanted is Any:
        return fine
    if is_typeddict(wanted) or issubclass(wanted, StripeObject):
        return _Fields(wanted, reading).check
    return _plain(wanted, reading.plain[wanted])


class _Fields:
    """Checks an object's fields; their checkers are made when the first one comes along."""

    def __init__(self, owner: Any, reading: Reading) -> None:
        self._owner = owner
        self._reading = reading
        self._checks: dict[str, Check] = {}
        self._required: frozenset[str] = frozenset()

    def check(self, value: Any) -> Findings:
        """Return what is wrong with the fields."""
        if not isinstance(value, dict):
            return [f": {value!r} is no {self._owner.__name__}"]
        if not self._checks:
            wanted, self._required = fields(self._owner)
            self._checks = {name: checker(kind, self._reading) for name, kind in wanted.items()}
        findings: list[str] = []
        for name, inner in value.items():
            known = self._checks.get(name)
            if known is None:
                findings.append(f".{name}: unknown to {self._owner.__qualname__}")
            elif wrong := known(inner):
                findings += _below(f".{name}", wrong)
        if not self._required <= value.keys():
            missing = sorted(self._required - value.keys())
            # Reason: of a deleted object Stripe shows little more than its id.
            if value.get("deleted") is True and "deleted" in self._checks:
                missing = [name for name in missing if name in {"id", "object"}]
            findings += [f".{name}: missing in {self._owner.__qualname__}" for name in missing]
        return findings


@cache
def fields(owner: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the fields of a class or TypedDict with their types, and which are required."""
    if is_typeddict(owner):
        own = {
            name: kind
            for name, kind in owner.__annotations__.items()
            if name not in RequestOptions.__annotations__
        }
        return names.resolve(own, owner.__module__), owner.__required_keys__
    found: dict[str, Any] = {}
    remapped = {attribute: name for name, attribute in owner._field_remappings.items()}  # noqa: SLF001
    for base in reversed(owner.__mro__):
        if not issubclass(base, StripeObject) or base is StripeObject:
            continue
        class_wide: Any = ClassVar
        shown = {
            name: kind
            for name, kind in inspect.get_annotations(base).items()
            if get_origin(kind) is not class_wide and not name.startswith("_")
        }
        for name, kind in names.resolve(shown, base.__module__).items():
            found[remapped.get(name, name)] = kind
    required = frozenset(n for n, kind in found.items() if type(None) not in get_args(kind))
    return found, required
