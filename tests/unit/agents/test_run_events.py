"""What a run's stream can hold: everything that a model writes, made storable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents.run_events import NewRunEvent, RunEventKind, storable

ANY_TEXT = st.text(st.characters(), max_size=20)
SOUND_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=20,
)


def documents(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    )


@given(documents(SOUND_TEXT))
def test_what_is_sound_stays_as_it_is(value: Any) -> None:
    assert storable(value) == value


@given(documents(ANY_TEXT))
def test_everything_becomes_storable_and_stays_so(value: Any) -> None:
    stored = storable(value)
    text = json.dumps(stored, ensure_ascii=False)
    assert "\\u0000" not in text
    assert text.encode().decode() == text
    assert storable(stored) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud83d!", "a\ufffd!"),
        ("a\ude86b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ("\ude86\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ude86", "🚆"),
        ("\ufeffé", "\ufeffé"),
    ],
)
def test_only_what_is_broken_is_replaced(text: str, stored: str) -> None:
    assert storable(text) == stored
    assert storable({text: [text, (text, 1)]}) == {stored: [stored, [stored, 1]]}


def test_a_note_holds_what_is_storable() -> None:
    note = NewRunEvent(kind=RunEventKind.TOKEN, data={"text": "\ud83d", "attempt": 1})
    assert note.data == {"text": "\ufffd", "attempt": 1}


def test_kinds_are_called_what_clients_know() -> None:
    assert {str(kind) for kind in RunEventKind} == {
        "status",
        "step",
        "token",
        "tool_call",
        "tool_result",
        "approval_requested",
        "approval_decided",
        "message",
        "child",
        "error",
        "done",
    }
