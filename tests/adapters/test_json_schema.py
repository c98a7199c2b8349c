"""JSON schemas: which can be used, and what does not fit them."""

import re
from typing import Any

import pytest

from adapters.json_schema import MAX_MISMATCH_LENGTH, find_mismatches, schema_problem

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "below": {"$ref": "#"}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (TREE, None),
        ({"type": "object", "$defs": {"a": {}}, "properties": {"a": {"$ref": "#/$defs/a"}}}, None),
        ({"type": "objekt"}, r"\$\.type"),
        ({"type": "object", "required": "name"}, r"\$\.required"),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/a.json"}}}, "leads nowhere"),
        ({"enum": [float("nan")]}, "no JSON"),
        ({"enum": [object()]}, "no JSON"),
    ],
)
def test_schemas_that_cannot_be_used(schema: dict[str, Any], problem: str | None) -> None:
    found = schema_problem(schema)
    if problem is None:
        assert found is None
    else:
        assert re.search(problem, found or "")


def test_mismatches_are_few_short_lines() -> None:
    assert find_mismatches(TREE, {"name": "a", "below": {"name": "b"}}) == ()
    assert sorted(find_mismatches(TREE, {"below": {"name": 1}})) == [
        "$.below.name: 1 is not of type 'string'",
        "$: 'name' is a required property",
    ]
    many = {"type": "object", "additionalProperties": {"type": "integer"}}
    found = find_mismatches(many, {f"k{number}": "x" * 9_999 for number in range(50)})
    assert len(found) == 5
    assert all(len(line) <= MAX_MISMATCH_LENGTH + 1 for line in found)


def test_a_document_without_end_is_told() -> None:
    deep: dict[str, Any] = {"name": "a"}
    for _ in range(5_000):
        deep = {"name": "a", "below": deep}
    assert find_mismatches(TREE, deep) == ("it is nested too deeply",)
