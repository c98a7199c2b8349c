"""What is read of the arguments that models write, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.llm.tool_arguments import read_arguments

# What a database can keep: no NUL, no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]))
def test_valid_objects_come_back_as_they_are(
    found: dict[str, Any],
    is_ascii: bool,
    indent: int | None,
) -> None:
    assert read_arguments(json.dumps(found, ensure_ascii=is_ascii, indent=indent)) == found


@given(OBJECTS)
def test_valid_objects_in_a_fence_or_encoded_twice_come_back(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    assert read_arguments(json.dumps(text)) == found
    assert read_arguments(f"```json\n{text}\n```") == found
    assert read_arguments(f"Sure, here it is:\n{text}\nDone.") == found


@given(OBJECTS)
def test_python_s_own_writing_is_read(found: dict[str, Any]) -> None:
    text = repr(found)
    try:
        read = read_arguments(text)
    except InvalidInputError:
        # Python escapes what it does not print as \x..; that is no JSON, and stays unread.
        assert "\\" in text
    else:
        assert read == found or "\\" in text


@given(st.text(alphabet="{}[]:,\"'\\ \n01.eE-aTrue`", max_size=40))
def test_whatever_comes_it_is_an_object_or_a_named_refusal(text: str) -> None:
    try:
        found: object = read_arguments(text)
    except InvalidInputError as error:
        found = error.details if error.error_code == "malformed_tool_call" else error
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ("", {}),
        ("  \n", {}),
        ('""', {}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1,}\n```', {"a": 1}),
        ('{"a": [1, 2, ], "b": {"c": 3, }, }', {"a": [1, 2], "b": {"c": 3}}),
        ("{'query': 'refunds'}", {"query": "refunds"}),
        (
            "{'text': 'say \"yes\"', 'it\\'s': \"o'clock\"}",
            {"text": 'say "yes"', "it's": "o'clock"},
        ),
        ("{'a': True, 'b': False, 'c': None}", {"a": True, "b": False, "c": None}),
        ('{"a": "True", "b": [None]', {"a": "True", "b": [None]}),
        ('{query: "refunds", limit: 5}', {"query": "refunds", "limit": 5}),
        ('{"query": "refunds"', {"query": "refunds"}),
        ('{"a": {"b": ["x", {"c": true', {"a": {"b": ["x", {"c": True}]}}),
        ('{"a": {"b": 1}', {"a": {"b": 1}}),
        ('{"a": [', {"a": []}),
        ("{", {}),
        ('Here you are: {"a": 1} I hope it helps!', {"a": 1}),
        ('<tool_call>{"a": 1}</tool_call>', {"a": 1}),
        ('{"a": 1}}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("\"{'a': 1,}\"", {"a": 1}),
        ('{"text": "two\nlines"}', {"text": "two\nlines"}),
        ('{"text": "two\nlines",}', {"text": "two\nlines"}),
        (r'{"pattern": "\d+\.", "path": "a\\b\/c", }', {"pattern": r"\d+\.", "path": r"a\b/c"}),
        ('{"word": "caf\\u00e9", "brace": "}{",}', {"word": "café", "brace": "}{"}),
    ],
)
def test_repairs(raw: str, meant: dict[str, Any]) -> None:
    assert read_arguments(raw) == meant


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("refund everything", "they contain no JSON object"),
        ("[1, 2]", "they are valid JSON, but not an object"),
        ("null", "they are valid JSON, but not an object"),
        ('{"a": 1}{"a": 2}', "they contain more than one JSON object"),
        ('{"reason": "it was', "a string in them is not closed"),
        ('{"a": [1}', "their brackets do not match"),
        # A cut amount is a wrong amount, and a cut list of arguments another call.
        ('{"payment_id": "p", "amount_cents": 10', "that may be incomplete"),
        ('{"payment_id": "p", "is_whole": tru', "that may be incomplete"),
        ('{"payment_id": "p", ', "they are cut off before their end"),
        ('{"payment_id": ', "they are cut off before their end"),
        ('{"a": 1 "b": 2}', "their JSON is broken: Expecting ',' delimiter"),
        ('{"a": NaN}', "they contain a number that JSON does not allow"),
        ('{"a": 1e999}', "they contain a number that JSON does not allow"),
        ('{"a": ' + "9" * 5_000 + "}", "they contain a number that JSON does not allow"),
        ('{"a": undefined}', "their JSON is broken: Expecting value"),
        ('{"a": __import__("os").system("id")}', "their JSON is broken: Expecting value"),
        ('{"a":' * 100_000, "they are nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "they are nested too deeply"),
        (json.dumps(json.dumps(json.dumps(json.dumps({})))), "too many times"),
        ('{"a": "\\u0000"}', "a character that cannot be stored"),
        ('{"a": [{"\\ud83d": 1}]}', "a character that cannot be stored"),
    ],
)
def test_refusals_name_what_is_wrong(raw: str, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_arguments(raw)
    assert caught.value.error_code == "malformed_tool_call"
    assert reason in caught.value.details["reason"]
    assert caught.value.details["reason"] in caught.value.message


def test_refusals_quote_nothing() -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_arguments('{"card": "4242", "secret" "sk_live"}')
    assert "4242" not in str(caught.value)
    assert "sk_live" not in str(caught.value)
