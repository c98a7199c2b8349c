"""Types of request parameters: each turns form strings into values or refuses as Stripe does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.stripe.errors import bad_parameter

_INTEGER = re.compile(r"-?\d{1,18}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_THREE_YEARS = {"day": 1_095, "month": 36, "week": 156, "year": 3}
MOST_KEYS, LONGEST_KEY = 50, 40
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,12})?")


class Param(Protocol):
    """One parameter's type."""

    def parse(self, raw: Any, path: str) -> Any:
        """Return the value of `raw`, found at `path`, or raise `ApiError`."""


@dataclass(frozen=True)
class Text:
    """A string; the empty string unsets and becomes None."""

    max_length: int = 5_000

    def parse(self, raw: Any, path: str) -> str | None:
        """Return the string, or None for the empty one."""
        if not isinstance(raw, str):
            raise bad_parameter(f"Invalid string: {path} must be a string", param=path)
        if len(raw) > self.max_length:
            raise bad_parameter(
                f"Invalid string: {path} must be at most {self.max_length} characters", param=path
            )
        return raw or None


@dataclass(frozen=True)
class Integer:
    """A whole number; the empty string unsets where that is allowed."""

    minimum: int | None = None
    maximum: int | None = None
    is_unsettable: bool = False
    words: tuple[str, ...] = ()

    def parse(self, raw: Any, path: str) -> int | str | None:
        """Return the number, one of the allowed words, or None for the empty string."""
        if raw == "" and self.is_unsettable:
            return None
        if isinstance(raw, str) and raw in self.words:
            return raw
        if not isinstance(raw, str) or not _INTEGER.fullmatch(raw):
            raise bad_parameter(
                f"Invalid integer: {raw if isinstance(raw, str) else path}",
                code="parameter_invalid_integer",
                param=path,
            )
        value = int(raw)
        if self.minimum is not None and value < self.minimum:
            raise bad_parameter(
                f"Invalid {path}: must be at least {self.minimum}",
                code="parameter_invalid_integer",
                param=path,
            )
        if self.maximum is not None and value > self.maximum:
            raise bad_parameter(f"Invalid {path}: must be at most {self.maximum}", param=path)
        return value


@dataclass(frozen=True)
class Decimals:
    """A decimal number with at most twelve places."""

    def parse(self, raw: Any, path: str) -> str:
        """Return the number as it was written."""
        if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
            raise bad_parameter(f"Invalid decimal: {path}", param=path)
        return raw


@dataclass(frozen=True)
class Number:
    """A number that may have a fraction."""

    above: float
    maximum: float

    def parse(self, raw: Any, path: str) -> float:
        """Return the number."""
        if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
            raise bad_parameter(f"Invalid decimal: {path} must be a number", param=path)
        value = float(raw)
        if not self.above < value <= self.maximum:
            raise bad_parameter(
                f"Invalid {path}: must be above {self.above} and at most {self.maximum}",
                param=path,
            )
        return value


@dataclass(frozen=True)
class Boolean:
    """`true` or `false`, or one of a few words that mean true."""

    words: tuple[str, ...] = ()

    def parse(self, raw: Any, path: str) -> bool:
        """Return the truth value."""
        if raw in self.words:
            return True
        if not isinstance(raw, str) or raw.lower() not in {"true", "false"}:
            raise bad_parameter(f"Invalid boolean: {raw}", param=path)
        return raw.lower() == "true"


@dataclass(frozen=True)
class Choice:
    """One of the named values."""

    values: tuple[str, ...]

    def parse(self, raw: Any, path: str) -> str:
        """Return the value if it is one of those allowed."""
        if raw not in self.values:
            raise bad_parameter(
                f"Invalid {path}: must be one of {', '.join(self.values)}", param=path
            )
        return str(raw)


@dataclass(frozen=True)
class Metadata:
    """Names with text values; an empty value removes the name, an empty string all of them."""

    is_limited: bool = True

    def parse(self, raw: Any, path: str) -> dict[str, str] | None:
        """Return the names and values, or None to remove all."""
        if raw == "":
            return None
        if not isinstance(raw, dict) or not all(isinstance(v, str) for v in raw.values()):
            raise bad_parameter(f"Invalid {path}: must be a flat group of strings", param=path)
        if self.is_limited:
            _check_metadata(raw, path)
        return raw


def _check_metadata(given: dict[str, str], path: str) -> None:
    check_key_count(given, path)
    for what, limit, texts in (("key", LONGEST_KEY, given), ("value", 500, given.values())):
        for text in texts:
            if len(text) > limit:
                raise bad_parameter(
                    f"Metadata {what}s can have up to {limit} characters, but you passed in a "
                    f"{what} that is {len(text)} characters. Invalid {what}: {text}",
                    param=path,
                )


def check_key_count(given: Mapping[str, str], path: str = "metadata") -> None:
    """Refuse more names than an object's metadata can have.

    Raises:
        ApiError: If there are more.
    """
    if len(given) > MOST_KEYS:
        raise bad_parameter(
            f"Metadata can have up to {MOST_KEYS} keys, but there would be {len(given)}.",
            param=path,
        )


@dataclass(frozen=True)
class Email:
    """An address of electronic mail; the empty string unsets."""

    def parse(self, raw: Any, path: str) -> str | None:
        """Return the address, or None for the empty string."""
        given = Text(512).parse(raw, path)
        if given is not None and not _EMAIL.fullmatch(given):
            raise bad_parameter(f"Invalid email address: {given}", code="email_invalid", param=path)
        return given


@dataclass(frozen=True)
class Many:
    """A list of one type."""

    item: Param

    def parse(self, raw: Any, path: str) -> list[Any]:
        """Return each entry parsed, in the order of its number."""
        if raw == "":
            return []
        if not isinstance(raw, dict) or not all(key.isdigit() for key in raw):
            raise bad_parameter("Invalid array", param=path)
        return [self.item.parse(raw[key], f"{path}[{key}]") for key in sorted(raw, key=int)]


@dataclass(frozen=True)
class Group:
    """Named parameters; a name that is not listed is refused."""

    fields: Mapping[str, Param]
    required: tuple[str, ...] = field(default=())

    def parse(self, raw: Any, path: str = "") -> dict[str, Any]:
        """Return every given parameter parsed, by name."""
        if not isinstance(raw, dict):
            raise bad_parameter("Invalid object", param=path)
        for name in raw:
            if name not in self.fields:
                full = _join(path, name)
                raise bad_parameter(
                    f"Received unknown parameter: {full}", code="parameter_unknown", param=full
                )
        for name in self.required:
            if raw.get(name, "") == "":
                full = _join(path, name)
                raise bad_parameter(
                    f"Missing required param: {full}.", code="parameter_missing", param=full
                )
        return {
            name: self.fields[name].parse(value, _join(path, name)) for name, value in raw.items()
        }


@dataclass(frozen=True)
class Recurring(Group):
    """A group with `interval` and `interval_count`, which come to three years at most."""

    def parse(self, raw: Any, path: str = "") -> dict[str, Any]:
        """Return every given parameter parsed, by name."""
        given = super().parse(raw, path)
        most = _THREE_YEARS[given["interval"]]
        if given.get("interval_count", 1) > most:
            raise bad_parameter(
                f"The maximum billing interval is three years: {most} {given['interval']}s.",
                param=_join(path, "interval_count"),
            )
        return given


@dataclass(frozen=True)
class Unsettable:
    """Something that the empty string unsets."""

    inner: Param

    def parse(self, raw: Any, path: str) -> Any:
        """Return the value, or None for the empty string."""
        return None if raw == "" else self.inner.parse(raw, path)


@dataclass(frozen=True)
class Range:
    """A moment, or bounds on one: `created=1` or `created[gte]=1`."""

    def parse(self, raw: Any, path: str) -> dict[str, int]:
        """Return the bounds by operator."""
        if isinstance(raw, dict):
            bounds = Group({op: Integer() for op in ("gt", "gte", "lt", "lte")})
            return bounds.parse(raw, path)
        moment = Integer().parse(raw, path)
        return {"gte": int(moment or 0), "lte": int(moment or 0)}


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


PAGE: dict[str, Param] = {
    "limit": Integer(minimum=1, maximum=100),
    "starting_after": Text(),
    "ending_before": Text(),
}
