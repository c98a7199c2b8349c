"""Draws charts as SVG: the same text for the same chart, and never a script in it. Pure."""

import html
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from domain.agents.charts.chart import Chart, ChartKind
from domain.agents.charts.scales import Axis, make_axis, number_text, shares

WIDTH, HEIGHT = 640, 400
_LEFT, _RIGHT, _BOTTOM = 76.0, 624.0, 356.0
_COLOURS = (
    *("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099"),
    *("#0099c6", "#dd4477", "#66aa00", "#b82e2e", "#316395"),
)
_CHARACTER_WIDTH = 6.2
_LEGEND_COLUMNS = 4
_LEGEND_ROW_HEIGHT = 18.0
_SHORTEST_LABEL_WIDTH = 40.0
_PIE_CENTRE = (190.0, 214.0)
_PIE_RADIUS = 140.0
# Reason: an arc that ends where it begins is not drawn.
_WHOLE_PIE = 0.9999
# Characters that no XML document may have, not even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Parts = Iterator[str]


class _Plot(NamedTuple):
    """The rectangle in which values are drawn: its upper edge, and its vertical axis."""

    top: float
    axis: Axis

    def y(self, number: float | Decimal) -> float:
        """Return the height at which a number is drawn."""
        return _BOTTOM - self.axis.ratio(number) * (_BOTTOM - self.top)


def draw_chart(chart: Chart) -> str:
    """Draw a chart in which `find_chart_problem` finds no problem.

    Args:
        chart: The chart.

    Returns:
        A whole SVG document.
    """
    size = {"width": str(WIDTH), "height": str(HEIGHT), "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    frame = " ".join(f'{name}="{value}"' for name, value in size.items())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif">'
    background = _element("rect", width=float(WIDTH), height=float(HEIGHT), fill="#ffffff")
    title = _text(chart.title, WIDTH / 2, 24, WIDTH - 20, size=16)
    body = _draw_pie(chart) if chart.kind is ChartKind.PIE else _draw_plot(chart)
    return "\n".join((head, background, title, *body, "</svg>\n"))


def _draw_plot(chart: Chart) -> Parts:
    row_count = math.ceil(len(chart.series_names) / _LEGEND_COLUMNS)
    numbers = [number for each in chart.heights for number in each]
    axis = make_axis(numbers, has_zero=chart.kind is ChartKind.BAR)
    plot = _Plot(44 + row_count * _LEGEND_ROW_HEIGHT, axis)
    yield from _draw_legend(chart.series_names)
    yield from _draw_heights(plot)
    match chart.kind:
        case ChartKind.SCATTER:
            yield from _draw_scatter(chart, plot)
        case ChartKind.BAR:
            yield from _draw_labels(chart.labels)
            yield from _draw_bars(chart, plot)
        case _:
            yield from _draw_labels(chart.labels)
            yield from _draw_lines(chart, plot)


def _draw_legend(names: tuple[str, ...]) -> Parts:
    width = (_RIGHT - _LEFT) / _LEGEND_COLUMNS
    for index, name in enumerate(names):
        row, column = divmod(index, _LEGEND_COLUMNS)
        x, y = _LEFT + column * width, 36 + row * _LEGEND_ROW_HEIGHT
        yield _element("rect", x=x, y=y, width=10.0, height=10.0, fill=_colour(index))
        yield _text(name, x + 14, y + 9, width - 18, anchor="start")


def _draw_heights(plot: _Plot) -> Parts:
    """Draw the lines and texts of the vertical axis."""
    for tick in plot.axis.ticks:
        y = plot.y(tick)
        yield _element("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, stroke="#dddddd")
        yield _text(number_text(tick), _LEFT - 6, y + 4, _LEFT - 8, anchor="end")


def _draw_labels(labels: tuple[str, ...]) -> Parts:
    """Draw the labels of the points, as many as there is room for."""
    slot = (_RIGHT - _LEFT) / len(labels)
    every = math.ceil(_SHORTEST_LABEL_WIDTH / slot)
    for index in range(0, len(labels), every):
        x = _LEFT + slot * (index + 0.5)
        yield _text(labels[index], x, _BOTTOM + 16, slot * every - 4)


def _draw_bars(chart: Chart, plot: _Plot) -> Parts:
    slot = (_RIGHT - _LEFT) / len(chart.labels)
    width = slot * 0.8 / len(chart.values)
    zero = plot.y(0)
    for series, numbers in enumerate(chart.values):
        for index, number in enumerate(numbers):
            y = plot.y(number)
            yield _element(
                "rect",
                _tooltip(chart, series, index),
                x=_LEFT + slot * (index + 0.1) + width * series,
                y=min(y, zero),
                width=width,
                height=abs(y - zero),
                fill=_colour(series),
                **{"class": "bar"},
            )
    yield _element("line", x1=_LEFT, x2=_RIGHT, y1=zero, y2=zero, stroke="#333333")


def _draw_lines(chart: Chart, plot: _Plot) -> Parts:
    slot = (_RIGHT - _LEFT) / len(chart.labels)
    for series, numbers in enumerate(chart.values):
        places = [
            (_LEFT + slot * (index + 0.5), plot.y(number)) for index, number in enumerate(numbers)
        ]
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in places)
        yield _element(
            "polyline", points=points, fill="none", stroke=_colour(series), stroke_width=2.0
        )
        for index, (x, y) in enumerate(places):
            yield _dot(chart, series, index, x, y)


def _draw_scatter(chart: Chart, plot: _Plot) -> Parts:
    positions, *heights = chart.values
    axis = make_axis(positions, has_zero=False)
    width = _RIGHT - _LEFT
    for tick in axis.ticks:
        x = _LEFT + axis.ratio(tick) * width
        yield _element("line", x1=x, x2=x, y1=plot.top, y2=_BOTTOM, stroke="#dddddd")
        yield _text(number_text(tick), x, _BOTTOM + 16, width / len(axis.ticks))
    for series, numbers in enumerate(heights):
        for index, number in enumerate(numbers):
            x = _LEFT + axis.ratio(positions[index]) * width
            yield _dot(chart, series, index, x, plot.y(number))


def _draw_pie(chart: Chart) -> Parts:
    begin = 0.0
    for index, share in enumerate(shares(chart.values[0])):
        if share:
            yield _slice(begin, share, index)
        begin += share
        y = 56 + index * 16.0
        yield _element("rect", x=370.0, y=y, width=10.0, height=10.0, fill=_colour(index))
        yield _text(f"{share:.1%}", 424, y + 9, 60, anchor="end")
        yield _text(chart.labels[index], 432, y + 9, WIDTH - 440, anchor="start")


def _slice(begin: float, share: float, index: int) -> str:
    """Draw a slice that begins at a share of the whole circle, clockwise from the top."""
    (centre_x, centre_y), fill = _PIE_CENTRE, _colour(index)
    if share > _WHOLE_PIE:
        return _element("circle", cx=centre_x, cy=centre_y, r=_PIE_RADIUS, fill=fill)
    ends = []
    for turn in (begin, begin + share):
        angle = 2 * math.pi * turn
        x = centre_x + _PIE_RADIUS * math.sin(angle)
        ends.append(f"{_number(x)} {_number(centre_y - _PIE_RADIUS * math.cos(angle))}")
    arc = f"A{_number(_PIE_RADIUS)} {_number(_PIE_RADIUS)} 0 {int(share > 0.5)} 1"
    path = f"M{_number(centre_x)} {_number(centre_y)}L{ends[0]}{arc} {ends[1]}Z"
    return _element("path", d=path, fill=fill, stroke="#ffffff")


def _dot(chart: Chart, series: int, index: int, x: float, y: float) -> str:
    tooltip = _tooltip(chart, series, index)
    return _element("circle", tooltip, cx=x, cy=y, r=3.0, fill=_colour(series))


def _tooltip(chart: Chart, series: int, index: int) -> str:
    """Return what a browser shows of a point: its label, the name of its series, its number."""
    label = chart.labels[index] if chart.labels else number_text(chart.values[0][index])
    name = chart.series_names[series] if chart.series_names else ""
    told = ": ".join(filter(None, (label, name, number_text(chart.heights[series][index]))))
    return f"<title>{_safe(told)}</title>"


def _text(
    text: str, x: float, y: float, width: float, *, anchor: str = "middle", size: int = 11
) -> str:
    """Draw a text, cut to the room that it has."""
    limit = max(3, int(width * 11 / size / _CHARACTER_WIDTH))
    line = " ".join(text.split())
    shown = line if len(line) <= limit else f"{line[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"
    return _element("text", _safe(shown), x=x, y=y, text_anchor=anchor, font_size=float(size))


def _element(name: str, content: str = "", **attributes: str | float) -> str:
    """Return an element; the content is XML already, and all attributes are ours."""
    written = "".join(
        f' {key.replace("_", "-")}="{value if isinstance(value, str) else _number(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _number(number: float) -> str:
    """Return a position or length in hundredths of a pixel."""
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _safe(text: str) -> str:
    """Return a text as it can stand in an XML document."""
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
