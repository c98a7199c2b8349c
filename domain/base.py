"""Bases of messages and of settings, and the type of durations."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHORT = re.compile(r"([0-9]{1,9})([smhd])")
# Reason: longer waits make no sense for payments, and distant dates overflow `datetime`.
MAX_DURATION = timedelta(days=366)
_PATTERN = (
    r"^(?:[0-9]{1,9}[smhd]|P[0-9]{1,3}D"
    r"|P(?:[0-9]{1,3}D)?T(?:[0-9]{1,6}H|(?:[0-9]{1,6}H)?[0-9]{1,6}M|[0-9]{1,9}S))$"
)


class Frozen(BaseModel):
    """Base of all messages: immutable; ignores unknown fields, which newer code may send."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def parse_duration(value: Any) -> Any:
    """Parse `90s`, `15m`, `2h` or `3d`; leave ISO 8601 and timedeltas to pydantic.

    Args:
        value: Value from a client or a stored document.

    Returns:
        A timedelta for the short form, else the unchanged value.

    Raises:
        ValueError: The value is a number without a unit.
    """
    if isinstance(value, int | float):
        raise ValueError("a duration needs a unit: 90s, 15m, 2h, 3d or ISO 8601")  # noqa: TRY004
    if isinstance(value, str) and (match := _SHORT.fullmatch(value.strip())):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


def format_duration(value: timedelta) -> str:
    """Format a duration in the largest unit that divides it exactly, e.g. `36h`."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


_DurationText = Annotated[
    str,
    StringConstraints(pattern=_PATTERN),
    Field(examples=["90s", "15m", "2h", "3d", "P3D"]),
]
Duration = Annotated[
    timedelta,
    Field(le=MAX_DURATION),
    BeforeValidator(parse_duration, json_schema_input_type=_DurationText),
    PlainSerializer(format_duration, return_type=str),
]


class IgnoringEmpty(BaseModel):
    """Base of settings sections in which an empty variable counts as not set."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    """Tell whether a value, or each one of a group of settings, is the empty string."""
    return value == "" or (isinstance(value, dict) and all(map(_is_empty, value.values())))
