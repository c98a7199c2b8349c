"""Collects figures over several rounds, and prints their medians beside each other."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping

# The side whose figure the others are compared with.
BASES = ("before", "naive", "bare", "dbos")
Figures = Mapping[str, float]


class Table:
    """Medians by figure and side.

    A figure's name ends in its unit, such as `one run, p50 (ms)`.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, side: str, figures: Figures) -> None:
        """Add the figures of one round of a side."""
        for name, value in figures.items():
            self._values[name][side].append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return the median of each figure by side."""
        return {
            name: {side: statistics.median(values) for side, values in sides.items()}
            for name, sides in self._values.items()
        }

    def as_json(self) -> str:
        """Return all medians as one line of JSON."""
        rounded = {
            name: {side: round(value, 3) for side, value in sides.items()}
            for name, sides in self.medians().items()
        }
        return json.dumps(rounded)

    def as_text(self) -> str:
        """Return the medians as a table, with `now` divided by each of the other sides."""
        return "\n".join(_line(name, sides) for name, sides in self.medians().items())

    def as_ratios(self) -> str:
        """Return `now` divided by each of the other sides, without the figures themselves."""
        lines = [
            f"{name:44} {' '.join(ratios)}"
            for name, sides in self.medians().items()
            if (ratios := _ratios(sides))
        ]
        return "\n".join(lines)


def _line(name: str, sides: Mapping[str, float]) -> str:
    told = "  ".join(f"{side} {value:10.2f}" for side, value in sides.items())
    return f"{name:44} {told}  {'  '.join(_ratios(sides))}"


def _ratios(sides: Mapping[str, float]) -> list[str]:
    now = sides.get("now")
    return [
        f"now/{base} {now / sides[base]:.2f}"
        for base in BASES
        if now is not None and sides.get(base)
    ]
