"""The recording of the demo: its renderer, and the picture in the README."""

from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.recording import MAX_PAUSE_SECONDS, ROWS, Line, render, shortened

ROOT = Path(__file__).parents[2]
MAX_BYTES = 150_000


def test_waiting_and_addresses_are_left_out() -> None:
    lines = [
        Line(0.5, "one"),
        Line(60.5, "in the Web UI: http://127.0.0.1:8233"),
        Line(60.6, "two"),
    ]
    short = shortened(lines)
    assert [line.text for line in short] == ["one", "two"]
    assert abs(short[1].seconds - (0.5 + MAX_PAUSE_SECONDS + 0.1)) < 1e-6


def test_lines_are_shown_at_their_time_in_their_colours() -> None:
    svg = render([Line(2.0, "\x1b[32m✓\x1b[0m paid < owed"), *[Line(8.0, "later")] * ROWS])
    picture = ET.fromstring(svg)  # noqa: S314 - our own text
    texts = ["".join(each.itertext()) for each in picture.iter() if each.tag.endswith("text")]
    assert texts == ["✓ paid < owed", *["later"] * ROWS]
    assert "@keyframes l0{0%{opacity:0}12.50%{opacity:1}}" in svg
    [mark, *_] = [each for each in picture.iter() if each.tag.endswith("tspan")]
    assert (mark.text, list(mark.attrib)) == ("✓", ["fill"])
    assert svg.count("translateY(-19px)") == 2, "one line has left the screen, also at rest"


def test_the_picture_of_the_readme_names_no_machine() -> None:
    assert "(docs/demo.svg)" in (ROOT / "README.md").read_text()
    text = (ROOT / "docs" / "demo.svg").read_text()
    ET.fromstring(text)  # noqa: S314 - our own text
    assert len(text.encode()) < MAX_BYTES
    assert "every step succeeded and was checked" in text
    assert text.count("://") == 1, "only the namespace of SVG"
    for place in ("/tmp/", "/home/", "/root/", "localhost", "127.0.0.1"):
        assert place not in text
