"""The referee of shapes: is a JSON document what the installed stripe-python says it would be?

Fields that the SDK does not declare optional must be there, types must fit, unknown keys are
refused, and enumerations are closed: the SDK leaves them open (`Literal[...] | str`), we do not.
"""

import inspect
import re
import sys
import types
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe import StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import UntypedStripeObject

Findings = Iterator[str]
_DELETED = {"id", "object", "deleted"}
_IMPORT = re.compile(r"^    from (stripe\.\S+) import (\w+)(?: as (\w+))?", re.MULTILINE)


def deviations(document: Any) -> list[str]:
    """Return what is wrong with an API answer, each entry starting with the field's path."""
    if "error" in document:
        return list(_check(document["error"], stripe.ErrorObject, stripe.ErrorObject, "error"))
    if document["object"] == "list":
        return [
            found
            for number, entry in enumerate(document["data"])
            for found in _object(entry, f"data[{number}]")
        ] + [f"{key}: unknown" for key in document.keys() - {"object", "data", "has_more", "url"}]
    return list(_object(document, document["object"]))


def _object(document: Any, path: str) -> Findings:
    cls = class_of(document["object"])
    yield from _check(document, cls, cls, path)
    if cls is stripe.Event:
        yield from _object(document["data"]["object"], f"{path}.data.object")


def class_of(name: str) -> type[StripeObject]:
    """Return the SDK's class of an object's name."""
    module, attribute = OBJECT_CLASSES[name]
    cls: type[StripeObject] = getattr(import_module(module), attribute)
    return cls


def _check(value: Any, wanted: Any, owner: type, path: str) -> Findings:
    wanted = _resolved(wanted, owner)
    origin: Any = get_origin(wanted)
    if origin in {Union, types.UnionType}:
        yield from _check_union(value, get_args(wanted), owner, path)
    elif origin is Literal:
        if value not in get_args(wanted):
            yield f"{path}: {value!r} is not one of {len(get_args(wanted))} known values"
    elif origin in {list, dict}:
        yield from _check_container(value, wanted, owner, path)
    elif isinstance(origin, type) and issubclass(origin, stripe.ListObject):
        yield from _check_list_object(value, get_args(wanted)[0], owner, path)
    elif _is_untyped(wanted):
        inner = (get_args(wanted) or (Any,))[0]
        yield from _check_container(value, dict[str, inner], owner, path)  # type: ignore[valid-type]
    elif isinstance(wanted, type) and issubclass(wanted, StripeObject):
        yield from _check_fields(value, wanted, path)
    else:
        yield from _check_plain(value, wanted, path)


def _check_plain(value: Any, wanted: Any, path: str) -> Findings:
    if wanted is Any:
        return
    if wanted is Decimal:
        try:
            Decimal(value if isinstance(value, str) else "not a string")
        except InvalidOperation:
            yield f"{path}: {value!r} is no decimal string"
        return
    kinds = {float: (int, float)}.get(wanted, (wanted,))
    if type(value) not in kinds:
        yield f"{path}: {value!r} is {type(value).__name__}, not {wanted}"


def _check_union(value: Any, arms: tuple[Any, ...], owner: type, path: str) -> Findings:
    if value is None and type(None) in arms:
        return
    arms = tuple(arm for arm in arms if arm is not type(None))
    if any(get_origin(arm) is Literal for arm in arms):
        arms = tuple(arm for arm in arms if arm is not str)
    if isinstance(value, dict):
        arms = tuple(arm for arm in arms if arm is not str)
    findings = [list(_check(value, arm, owner, path)) for arm in arms]
    yield from min(findings, key=len)


def _check_container(value: Any, wanted: Any, owner: type, path: str) -> Findings:
    shape = get_origin(wanted)
    if not isinstance(value, shape):
        yield f"{path}: {value!r} is no {shape.__name__}"
        return
    inner = get_args(wanted)[-1]
    entries = value.items() if shape is dict else enumerate(value)
    for key, entry in entries:
        yield from _check(entry, inner, owner, f"{path}[{key}]")


def _check_list_object(value: Any, inner: Any, owner: type, path: str) -> Findings:
    if not isinstance(value, dict) or value.get("object") != "list":
        yield f"{path}: no list object"
        return
    for key in {"object", "data", "has_more", "url"} ^ value.keys():
        yield f"{path}.{key}: {'unknown' if key in value else 'missing'}"
    for number, entry in enumerate(value["data"]):
        yield from _check(entry, inner, owner, f"{path}.data[{number}]")


def _check_fields(value: Any, cls: Any, path: str) -> Findings:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no {cls.__qualname__}"
        return
    fields = _fields(cls)
    if value.get("deleted") is True and "deleted" in fields:
        yield from (f"{path}.{key}: unknown" for key in value.keys() ^ _DELETED)
        return
    for key in value.keys() - fields.keys():
        yield f"{path}.{key}: unknown to {cls.__qualname__}"
    for key, wanted in fields.items():
        if key in value:
            yield from _check(value[key], wanted, cls, f"{path}.{key}")
        elif not _is_optional(wanted):
            yield f"{path}.{key}: missing in {cls.__qualname__}"


def _is_untyped(wanted: Any) -> bool:
    origin: Any = get_origin(wanted)
    return wanted is UntypedStripeObject or origin is UntypedStripeObject


def _is_optional(wanted: Any) -> bool:
    return type(None) in get_args(wanted)


@cache
def _fields(cls: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    remapped = {attribute: name for name, attribute in cls._field_remappings.items()}
    for base in reversed(cls.__mro__):
        if not issubclass(base, StripeObject) or base is StripeObject:
            continue
        for name, wanted in inspect.get_annotations(base).items():
            origin: Any = get_origin(wanted)
            if origin is not ClassVar and not name.startswith("_"):
                found[remapped.get(name, name)] = wanted
    return found


def _resolved(wanted: Any, owner: type) -> Any:
    if isinstance(wanted, ForwardRef):
        wanted = wanted.__forward_arg__
    return _named(wanted, owner.__module__) if isinstance(wanted, str) else wanted


def _named(name: str, module: str) -> Any:
    """Return a class that a module of the SDK only imports for type checkers."""
    known = _imports(module)
    if name not in known:
        return getattr(sys.modules[module], name)
    origin, attribute = known[name]
    return getattr(import_module(origin), attribute)


@cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    found = _IMPORT.findall(inspect.getsource(sys.modules[module]))
    return {alias or attribute: (origin, attribute) for origin, attribute, alias in found}
