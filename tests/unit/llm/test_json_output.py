"""JSON that a model was asked for: what is read, and what is never guessed."""

from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.llm.json_output import is_strict, read_json_output, texts_of, with_texts


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n{"a": [1.5, null, true]}\n', {"a": [1.5, None, True]}),
        ('```json\n{"a": "```"}\n```', {"a": "```"}),
        ('```\n{"a": 1}\n```\n', {"a": 1}),
        ("[1, -9223372036854775807]", [1, -9223372036854775807]),
    ],
)
def test_one_document_is_read(text: str, document: Any) -> None:
    assert read_json_output(text) == document


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not one JSON document"),
        ("Here you are: {}", "not one JSON document"),
        ('{"a": 1} {"a": 2}', "not one JSON document: Extra data, line 1, column 10"),
        ('{"a": 1', "not one JSON document"),
        ("{'a': 1}", "not one JSON document"),
        ('```json\n{"a": 1}\n```\nDone.', "not one JSON document"),
        ('{"a": NaN}', "a number that is none, or too large"),
        ('{"a": -Infinity}', "a number that is none, or too large"),
        ('{"a": 1e999}', "a number that is none, or too large"),
        (f'{{"a": {"9" * 5_000}}}', "a number that is none, or too large"),
        ('{"a": -9223372036854775808}', "a number that is none, or too large"),
        ("[" * 66 + "]" * 66, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_anything_else_is_told(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        read_json_output(text)


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**OPEN, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "properties": {"a": {"anyOf": [OPEN, {"type": "null"}]}}}, False),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        ({"type": "object"}, False),
    ],
)
def test_what_can_be_enforced_strictly(schema: Any, expected: bool) -> None:
    assert is_strict(schema) is expected


def test_texts_are_found_and_changed_but_not_names() -> None:
    document = {"a": "one", "b": [1, "two", {"c": None}]}
    assert texts_of(document) == "one\ntwo"
    assert with_texts(document, str.upper) == {"a": "ONE", "b": [1, "TWO", {"c": None}]}
