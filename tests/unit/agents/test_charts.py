"""Charts: well-formed SVG without scripts for all texts and numbers; bars of the right height."""

import math
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.tools.make_chart import MakeChart
from domain.agents.charts.chart import (
    MAX_POINTS,
    MAX_SERIES,
    MAX_SLICES,
    Chart,
    ChartKind,
    find_chart_problem,
)
from domain.agents.charts.drawing import HEIGHT, WIDTH, draw_chart
from domain.agents.charts.scales import make_axis, number_text, shares

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "rect", "text", "title", "line", "polyline", "circle", "path"}
HUGE, TINY = 1.7976931348623157e308, 5e-324
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", "\"'&<>", "]]>", "\0\x1b\ufffe", "x" * 200, "&#x1f;", " "]
)


@st.composite
def charts(draw: st.DrawFn, kinds: tuple[ChartKind, ...] = tuple(ChartKind)) -> Chart:
    kind = draw(st.sampled_from(kinds))
    is_pie, is_scatter = kind is ChartKind.PIE, kind is ChartKind.SCATTER
    count = draw(st.integers(1, MAX_SLICES if is_pie else 30))
    number = st.floats(0, HUGE) if is_pie else FINITE
    series = 1 if is_pie else draw(st.integers(1, MAX_SERIES))
    rows = st.lists(number, min_size=count, max_size=count).map(tuple)
    lists = series + is_scatter
    values = tuple(draw(st.lists(rows, min_size=lists, max_size=lists)))
    if is_pie and not any(values[0]):
        values = ((1.0, *values[0][1:]),)
    texts = st.lists(TEXTS, min_size=count, max_size=count).map(tuple)
    names = st.lists(TEXTS, min_size=series, max_size=series).map(tuple)
    return Chart(
        kind,
        draw(TEXTS),
        () if is_scatter else draw(texts),
        draw(st.just(()) | names),
        values,
    )


def bar_chart(*numbers: float) -> Chart:
    labels = tuple(f"p{index}" for index in range(len(numbers)))
    return Chart(ChartKind.BAR, "t", labels, (), (numbers,))


def parse(chart: Chart) -> ET.Element:
    return ET.fromstring(draw_chart(chart))  # noqa: S314 - our own text


def bars(chart: Chart) -> list[dict[str, float]]:
    return [
        {name: float(each.attrib[name]) for name in ("x", "y", "width", "height")}
        for each in parse(chart).iter(f"{SVG}rect")
        if each.get("class") == "bar"
    ]


@given(charts())
@example(bar_chart(HUGE, -HUGE, TINY, 0))
@example(bar_chart(0))
@example(Chart(ChartKind.LINE, "", ("",), (), ((1e300,),)))
@example(Chart(ChartKind.SCATTER, "s", (), ("a",), ((1.0, 1.0), (TINY, HUGE))))
@example(Chart(ChartKind.PIE, "p", ("a", "b"), (), ((HUGE, HUGE),)))
@example(Chart(ChartKind.PIE, "p", ("a", "b"), (), ((0.0, 3.0),)))
def test_every_chart_is_well_formed_and_has_no_script(chart: Chart) -> None:
    assert find_chart_problem(chart) is None
    written = draw_chart(chart)
    assert written == draw_chart(chart)
    root = parse(chart)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in ALLOWED
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert "href" not in name
            assert name != "style"
            assert "nan" not in value
            assert "inf" not in value
    for element in root.iter(f"{SVG}rect"):
        assert float(element.attrib["width"]) >= 0
        assert float(element.attrib["height"]) >= 0
        assert -1 <= float(element.get("x", 0)) <= WIDTH
        assert -1 <= float(element.get("y", 0)) <= HEIGHT
    assert len(written) < 1_000_000


@given(charts((ChartKind.BAR,)))
def test_bars_are_as_high_as_their_numbers_say(chart: Chart) -> None:
    numbers = [number for series in chart.values for number in series]
    heights = [bar["height"] for bar in bars(chart)]
    assert len(heights) == len(numbers)
    largest = max(abs(number) for number in numbers)
    highest = max(heights)
    for number, height in zip(numbers, heights, strict=True):
        share = abs(Decimal(number) / Decimal(largest)) if largest else Decimal(0)
        assert height == pytest.approx(float(share) * highest, abs=0.02)


def test_a_bar_of_twice_the_number_is_twice_as_high() -> None:
    one, two, three = bars(bar_chart(10, 20, -10))
    assert two["height"] == pytest.approx(2 * one["height"], abs=0.02)
    assert three["height"] == pytest.approx(one["height"], abs=0.02)
    assert one["y"] + one["height"] == pytest.approx(three["y"], abs=0.02)
    assert one["height"] > 50


def test_slices_are_as_large_as_their_numbers_say() -> None:
    assert shares([1, 1, 2]) == [0.25, 0.25, 0.5]
    assert shares([HUGE, HUGE]) == [0.5, 0.5]
    assert shares([TINY, 3 * TINY]) == pytest.approx([0.25, 0.75])
    assert shares([0, 5]) == [0, 1]
    drawn = draw_chart(Chart(ChartKind.PIE, "p", ("a", "b", "c"), (), ((1.0, 1.0, 2.0),)))
    assert drawn.count("<path") == 3
    assert ">25.0%<" in drawn
    whole = draw_chart(Chart(ChartKind.PIE, "p", ("a", "b"), (), ((0.0, 2.0),)))
    assert (whole.count("<path"), whole.count("<circle")) == (0, 1)


@given(st.lists(FINITE, min_size=1, max_size=50), st.booleans())
def test_an_axis_holds_its_numbers_between_round_ones(numbers: list[float], has_zero: bool) -> None:
    axis = make_axis(numbers, has_zero=has_zero)
    assert 2 <= len(axis.ticks) <= 9
    assert list(axis.ticks) == sorted(set(axis.ticks))
    for number in numbers:
        assert -1e-6 <= axis.ratio(number) <= 1 + 1e-6
    assert axis.ratio(axis.ticks[0]) == pytest.approx(0, abs=1e-9)
    assert axis.ratio(axis.ticks[-1]) == pytest.approx(1)
    if has_zero:
        assert -1e-9 <= axis.ratio(0) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("numbers", "has_zero", "ticks"),
    [
        ([0, 100], True, ["0", "20", "40", "60", "80", "100"]),
        ([3, 7], True, ["0", "2", "4", "6", "8"]),
        ([-4, 4], True, ["-4", "-2", "0", "2", "4"]),
        ([0, 0], True, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([5, 5], False, ["4.4", "4.6", "4.8", "5", "5.2", "5.4", "5.6"]),
        ([2900, 5800], False, ["2,000", "3,000", "4,000", "5,000", "6,000"]),
        ([0, 1e9], True, ["0", "2e+8", "4e+8", "6e+8", "8e+8", "1e+9"]),
    ],
)
def test_ticks_are_round(numbers: list[float], has_zero: bool, ticks: list[str]) -> None:
    assert [number_text(tick) for tick in make_axis(numbers, has_zero=has_zero).ticks] == ticks


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1250.5, "1,250.5"),
        (9999999.0, "9,999,999"),
        (1.5e12, "1.5e+12"),
        (0.0001, "0.0001"),
        (0.00001, "1e-5"),
        (-3.0, "-3"),
        (TINY, "5e-324"),
        (HUGE, "1.7976931348623157e+308"),
        (Decimal("2E+2"), "200"),
    ],
)
def test_numbers_are_written_for_people(number: float, text: str) -> None:
    assert number_text(number) == text


def test_long_texts_are_cut_and_whole_in_the_tooltip() -> None:
    label = "a label that is very long " * 5
    drawn = draw_chart(Chart(ChartKind.BAR, "t", (label, "b"), ("one",), ((1.0, 2.0),)))
    assert f"<title>{label}: one: 1</title>" in drawn
    assert "\N{HORIZONTAL ELLIPSIS}</text>" in drawn
    many = Chart(ChartKind.LINE, "t", ("label",) * MAX_POINTS, (), ((1.0,) * MAX_POINTS,))
    assert draw_chart(many).count(">label<") < 20
    dots = draw_chart(Chart(ChartKind.SCATTER, "t", (), ("y",), ((1.0, 2.5), (3.0, 4.0))))
    assert "<title>2.5: y: 4</title>" in dots


ARGUMENTS: dict[str, Any] = {"kind": "bar", "title": "Sales", "labels": ["a", "b"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"values": [[1, 2]]},
        {"values": [[1, 2], [3, 4]], "series_names": ["x", "y"]},
        {"kind": "pie", "values": [[0, 2]]},
        {"kind": "line", "values": [[-1e308, 1e308]]},
        {"kind": "scatter", "labels": [], "values": [[1, 2], [3, 4]], "series_names": ["y"]},
        {"values": [["1", 2.5]]},
        {"title": "", "values": [[1, 2]], "name": "sales-2026.svg"},
    ],
)
def test_charts_that_can_be_asked_for(changes: dict[str, Any]) -> None:
    taken = MakeChart.model_validate(ARGUMENTS | changes)
    assert MakeChart.model_validate_json(taken.model_dump_json()) == taken
    assert parse(taken.chart).tag == f"{SVG}svg"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": []}, "at least 1"),
        ({"values": [[]], "labels": []}, "must have 1 to 200 numbers"),
        ({"values": [[1]]}, "2 labels, and there must be 1"),
        ({"values": [[1, 2], [1]]}, "the same length"),
        ({"values": [[1, 2]] * 9}, "1 to 8 lists"),
        ({"values": [[1] * 201], "labels": ["a"] * 200}, "1 to 200 numbers"),
        ({"values": [[1, "NaN"]]}, "finite"),
        ({"values": [[1, "Infinity"]]}, "finite"),
        ({"values": [[1, 10**400]]}, ""),
        ({"values": [[1, None]]}, "number"),
        ({"values": [[1, 2]], "series_names": ["x", "y"]}, "empty or have 1 names"),
        ({"kind": "pie", "values": [[1, 2], [1, 2]]}, "one series"),
        ({"kind": "pie", "values": [[1, -2]]}, "negative"),
        ({"kind": "pie", "values": [[0, 0]]}, "not all of them zero"),
        ({"kind": "pie", "values": [[1] * 21], "labels": ["a"] * 21}, "at most 20 slices"),
        ({"kind": "scatter", "values": [[1, 2], [1, 2]]}, "2 labels, and there must be 0"),
        ({"kind": "scatter", "labels": [], "values": [[1, 2]]}, "a list of positions and 1 to 8"),
        ({"kind": "radar", "values": [[1, 2]]}, "'bar', 'line', 'pie' or 'scatter'"),
        ({"values": [[1, 2]], "name": "../x.svg"}, "pattern"),
        ({"values": [[1, 2]], "name": "x.html"}, "pattern"),
        ({"values": [[1, 2]], "colour": "red"}, "Extra inputs"),
    ],
)
def test_charts_that_cannot(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MakeChart.model_validate(ARGUMENTS | changes)
    assert words in str(refused.value)


def test_numbers_must_be_finite_also_without_arguments() -> None:
    chart = bar_chart(1, math.nan)
    assert find_chart_problem(chart) == "values must be finite numbers"
    assert find_chart_problem(chart._replace(values=())) is not None
