"""Tool `make_chart`: draws a chart, which becomes a file of the run."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from agents.tools.spec import Arguments, ToolSpec
from domain.agents.charts.chart import (
    MAX_POINTS,
    MAX_SERIES,
    MAX_SLICES,
    Chart,
    ChartKind,
    find_chart_problem,
)

# Reason: an enumeration would be a reference in the schema, which not every model follows.
Kind = Literal["bar", "line", "pie", "scatter"]
Label = Annotated[str, StringConstraints(max_length=200)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class MakeChart(Arguments):
    """Arguments of `make_chart`."""

    kind: Kind = Field(description="Kind of the chart.")
    title: str = Field(max_length=200, description="Title above the chart.")
    labels: tuple[Label, ...] = Field(
        default=(),
        max_length=MAX_POINTS,
        description="One label for each point, in order; none for a scatter chart.",
    )
    series_names: tuple[Label, ...] = Field(
        default=(),
        max_length=MAX_SERIES,
        description="One name for each series, for the legend; may be left out for one series.",
    )
    values: tuple[tuple[Number, ...], ...] = Field(
        min_length=1,
        max_length=MAX_SERIES + 1,
        description="A list of numbers for each series. For a scatter chart, a list of positions"
        " from left to right comes first.",
    )
    name: str = Field(
        default="chart.svg",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.svg$",
        description="Name of the file, ending in .svg.",
    )

    @property
    def chart(self) -> Chart:
        """The chart to draw."""
        kind = ChartKind(self.kind)
        return Chart(kind, self.title, self.labels, self.series_names, self.values)

    @model_validator(mode="after")
    def _check_chart(self) -> Self:
        if (problem := find_chart_problem(self.chart)) is not None:
            raise ValueError(problem)
        return self


MAKE_CHART = ToolSpec(
    name="make_chart",
    description=(
        "Draw a bar, line, pie or scatter chart from numbers. The user gets it as an SVG file; you"
        f" get its name and id. At most {MAX_SERIES} series of {MAX_POINTS} points; a pie has one"
        f" series of at most {MAX_SLICES} numbers, none of them negative."
    ),
    arguments=MakeChart,
    patience=timedelta(seconds=15),
)
