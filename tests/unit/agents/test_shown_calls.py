"""What people read of a tool call is what is in it."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents.shown_calls import ShownFact, shortened, shown_facts, visible

# Overrides, isolates, marks, a zero-width space, a line separator, a control character, NUL.
UNSEEN = "\u202a\u202e\u2066\u2069\u200e\u200f\u200b\u2028\x1b\x00"


@pytest.mark.parametrize("character", UNSEEN)
def test_unseen_characters_are_shown_as_escapes(character: str) -> None:
    assert visible(f"pay {character}001") == f"pay \\u{ord(character):04x}001"


def test_other_text_stays_as_it_is() -> None:
    for text in ("", "Überweisung an Łukasz: 25,00 €", "<b>&amp;</b>", "語 🚆", "a  b"):
        assert visible(text) == text


@given(st.text())
def test_nothing_that_is_shown_is_unseen(text: str) -> None:
    shown = visible(text)
    assert not [each for each in shown if unicodedata.category(each).startswith("C")]
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2_500, "2500"),
        (None, "null"),
        ("2500", '"2500"'),
        ('say "yes"', '"say \\"yes\\""'),
        ("two\nlines", '"two\\nlines"'),
        ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
        ("\u202e", '"\\u202e"'),
    ],
)
def test_values_are_json(value: Any, shown: str) -> None:
    assert shown_facts({"name": value}) == [ShownFact("name", shown)]


def test_long_values_are_cut_only_where_they_may_be() -> None:
    assert shortened("x" * 5, 5) == "xxxxx"
    assert shortened("x" * 6, 5) == "xxxxx…"
    assert shown_facts({"a": "x" * 9}, 4)[0].value == '"xxx…'
    assert len(shown_facts({"a": "x" * 90_000})[0].value) == 90_002
