"""What a chart shows, and what is wrong with one that cannot be drawn. Pure."""

import math
from enum import StrEnum
from typing import NamedTuple

MAX_SERIES = 8
MAX_POINTS = 200
MAX_SLICES = 20


class ChartKind(StrEnum):
    """The kind of a chart."""

    BAR = "bar"
    LINE = "line"
    PIE = "pie"
    SCATTER = "scatter"


class Chart(NamedTuple):
    """A chart to draw.

    Args:
        kind: Kind of the chart.
        title: Title above it; may be empty.
        labels: One label for each point; empty for a scatter chart.
        series_names: One name for each series; may be empty.
        values: The numbers of each series. The first list of a scatter chart has the positions
            from left to right, each other one the heights of a series.
    """

    kind: ChartKind
    title: str
    labels: tuple[str, ...]
    series_names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def heights(self) -> tuple[tuple[float, ...], ...]:
        """The numbers that are drawn as heights, by series."""
        return self.values[1:] if self.kind is ChartKind.SCATTER else self.values


def find_chart_problem(chart: Chart) -> str | None:
    """Return why a chart cannot be drawn; None if it can."""
    is_scatter = chart.kind is ChartKind.SCATTER
    point_count = len(chart.values[0]) if chart.values else 0
    label_count = 0 if is_scatter else point_count
    series_count = len(chart.heights)
    lists = "a list of positions and " if is_scatter else ""
    rules = (
        (
            1 <= series_count <= MAX_SERIES,
            f"values must have {lists}1 to {MAX_SERIES} lists of numbers, one for each series",
        ),
        (
            1 <= point_count <= MAX_POINTS,
            f"each list of values must have 1 to {MAX_POINTS} numbers",
        ),
        (
            all(len(each) == point_count for each in chart.values),
            "all lists of values must have the same length",
        ),
        (
            all(math.isfinite(number) for each in chart.values for number in each),
            "values must be finite numbers",
        ),
        (
            len(chart.labels) == label_count,
            f"there are {len(chart.labels)} labels, and there must be {label_count}",
        ),
        (
            len(chart.series_names) in {0, series_count},
            f"series_names must be empty or have {series_count} names",
        ),
    )
    problem = next((message for is_kept, message in rules if not is_kept), None)
    if problem is None and chart.kind is ChartKind.PIE:
        return _find_pie_problem(chart.values)
    return problem


def _find_pie_problem(values: tuple[tuple[float, ...], ...]) -> str | None:
    numbers, *others = values
    if others:
        return "a pie shows one series"
    if len(numbers) > MAX_SLICES:
        return f"a pie has at most {MAX_SLICES} slices"
    if min(numbers) < 0 or max(numbers) == 0:
        return "the values of a pie must not be negative, and not all of them zero"
    return None
