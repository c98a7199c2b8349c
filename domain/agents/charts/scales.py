"""Scales of charts: numbers of any size as positions, round ticks, and their texts. Pure."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

_TICK_COUNT = 5
# A shorter axis is widened: all its numbers are the same to the eye.
_SHORTEST_AXIS = 1e-9
# Numbers from 0.0001 to below ten millions are written in full.
_PLAIN = range(-4, 7)


class Axis(NamedTuple):
    """An axis from one round number to another.

    Reason: numbers are divided by a power of ten, so that the largest float, and the smallest one
    that is not zero, can be drawn.

    Args:
        exponent: The power of ten that numbers are divided by.
        low: The lower end, divided.
        high: The upper end, divided.
        ticks: Round numbers on the axis.
    """

    exponent: int
    low: float
    high: float
    ticks: tuple[Decimal, ...]

    def ratio(self, number: float | Decimal) -> float:
        """Return how far a number is from the lower end to the upper end: from 0 to 1."""
        return (_divided(number, self.exponent) - self.low) / (self.high - self.low)


def make_axis(numbers: Sequence[float], *, has_zero: bool) -> Axis:
    """Make an axis for numbers.

    Args:
        numbers: Finite numbers, at least one.
        has_zero: Whether zero is on the axis, too.
    """
    exponent = _exponent(numbers)
    divided = [_divided(number, exponent) for number in numbers]
    low, high = min(divided), max(divided)
    if has_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < _SHORTEST_AXIS:
        low, high = (low, low + 1) if has_zero else (low - 0.5, high + 0.5)
    digit, power = _round_step((high - low) / _TICK_COUNT)
    step = digit * 10.0**power
    places = range(math.floor(low / step), math.ceil(high / step) + 1)
    ticks = (Decimal(place * digit).scaleb(power + exponent) for place in places)
    return Axis(exponent, places[0] * step, places[-1] * step, tuple(ticks))


def shares(numbers: Sequence[float]) -> list[float]:
    """Return each number's share of their sum; the numbers are not negative, and not all zero."""
    exponent = _exponent(numbers)
    divided = [_divided(number, exponent) for number in numbers]
    return [each / math.fsum(divided) for each in divided]


def number_text(number: float | Decimal) -> str:
    """Return a number as people read it: `1,250.5`, or `1.5e+12` if it is very large or small."""
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    if not exact:
        return "0"
    short = exact.normalize()
    return f"{short:,f}" if short.adjusted() in _PLAIN else f"{short:e}"


def _exponent(numbers: Sequence[float]) -> int:
    largest = max(abs(number) for number in numbers)
    return Decimal(largest).adjusted() if largest else 0


def _divided(number: float | Decimal, exponent: int) -> float:
    return float(Decimal(number).scaleb(-exponent))


def _round_step(least: float) -> tuple[int, int]:
    """Return the smallest step of 1, 2 or 5 times a power of ten that is not below `least`."""
    power = math.floor(math.log10(least))
    for digit in (1, 2, 5):
        if digit * 10.0**power >= least:
            return digit, power
    return 1, power + 1
