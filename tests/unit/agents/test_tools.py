"""What a model sees of tools, what they take, and whose yes they need."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, get_args
from uuid import UUID

import pytest
from pydantic import Field, ValidationError

from agents.tools.billing.refund_payment import REFUND_PAYMENT, RefundPayment
from agents.tools.search_memory import SEARCH_MEMORY, SearchMemory
from agents.tools.spec import Arguments, ToolSpec
from api.deps import Role
from domain.agents.approvals import OWNER
from domain.errors import NotFoundError
from services.agents.tools.built_in import BUILT_IN_TOOLS
from services.agents.tools.catalog import ToolCatalog

PAYMENT = str(UUID(int=1))
REFUND = {"payment_id": PAYMENT, "reason": "twice charged"}

CATALOG = ToolCatalog(BUILT_IN_TOOLS)
SPECS = [tool.spec for tool in BUILT_IN_TOOLS]

every_tool = pytest.mark.parametrize("tool", SPECS, ids=lambda spec: spec.name)


def nodes(value: Any) -> Iterator[Any]:
    """Yield a document and everything in it."""
    yield value
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for each in inner:
        yield from nodes(each)


@every_tool
def test_a_schema_is_a_closed_object_without_titles_and_nulls(tool: ToolSpec) -> None:
    schema = tool.definition.parameters
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema.get("required", [])) <= set(schema["properties"])
    assert "description" not in schema
    for node in nodes(schema):
        assert node is not None
        assert node != "null"
        if isinstance(node, dict):
            assert not isinstance(node.get("title"), str)


@every_tool
def test_every_argument_has_a_type_and_is_described(tool: ToolSpec) -> None:
    for schema in tool.definition.parameters["properties"].values():
        assert isinstance(schema["type"], str)
        assert schema["description"]


@every_tool
def test_a_tool_is_called_what_providers_accept(tool: ToolSpec) -> None:
    assert CATALOG.find(tool.name).spec is tool
    assert tool.name.replace("_", "").isalpha()
    assert tool.name.islower()
    assert len(tool.name) <= 64
    assert tool.description


@every_tool
def test_limits_are_there_and_an_approver_is_a_role_that_callers_have(tool: ToolSpec) -> None:
    assert tool.time_limit.total_seconds() > 0
    assert tool.output_limit_bytes > 0
    assert tool.approver_role in {None, OWNER, *get_args(Role)}


@every_tool
def test_only_what_just_looks_is_given_up(tool: ToolSpec) -> None:
    """The outcome of an effect has to be found out, however long that takes."""
    assert (tool.patience is None) == (tool.approver_role is not None)


def test_an_approver_sees_what_a_call_would_do() -> None:
    for tool in BUILT_IN_TOOLS:
        # Reason: a question has no effect but its answer.
        has_effect = tool.spec.approver_role not in {None, OWNER}
        assert (tool.preview is not None) == has_effect


def test_a_catalogue_has_one_tool_of_a_name() -> None:
    catalog = ToolCatalog(BUILT_IN_TOOLS)
    with pytest.raises(ValueError, match="two tools of the name ask_user"):
        catalog.add(BUILT_IN_TOOLS[:1])
    assert catalog.names == {tool.spec.name for tool in BUILT_IN_TOOLS}
    assert catalog.select(["refund_payment"])[0].spec is REFUND_PAYMENT
    with pytest.raises(NotFoundError) as refused:
        catalog.definitions(["search_memory", "launch_rocket"])
    assert refused.value.error_code == "unknown_tool"


def test_an_admin_has_to_approve_refunds_and_nobody_searches() -> None:
    assert REFUND_PAYMENT.approver_role == "admin"
    assert SEARCH_MEMORY.approver_role is None


def test_the_schemas_are_these() -> None:
    """They are part of every prompt: whoever changes one sees here what models get to read."""
    assert REFUND_PAYMENT.definition.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["payment_id", "reason"],
        "properties": {
            "payment_id": {"type": "string", "format": "uuid", "description": "Which payment."},
            "amount_cents": {
                "type": "integer",
                "exclusiveMinimum": 0,
                "maximum": 99_999_999,
                "description": "In minor units; leave it out to refund all that is left.",
            },
            "reason": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Why, in the user's words.",
            },
        },
    }
    assert SEARCH_MEMORY.definition.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["query"],
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "What to look for.",
            },
            "limit": {
                "type": "integer",
                "default": 5,
                "minimum": 1,
                "maximum": 20,
                "description": "How many at the most.",
            },
        },
    }


class Colour(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Painting(Arguments):
    title: str
    note: str | None = None
    size: int | str | None = Field(default=None, description="How large.")
    colours: list[Colour] = Field(default=[Colour.RED])


def test_an_argument_may_be_called_title_and_choices_stay() -> None:
    tool = ToolSpec(name="paint", description="Paint.", arguments=Painting)
    assert tool.definition.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "$defs": {
            "Colour": {"type": "string", "enum": ["red", "blue"], "description": "A choice."},
        },
        "properties": {
            "title": {"type": "string"},
            "note": {"type": "string"},
            "size": {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "description": "How large.",
            },
            "colours": {
                "type": "array",
                "items": {"$ref": "#/$defs/Colour"},
                "default": ["red"],
            },
        },
    }


@pytest.mark.parametrize(
    "arguments",
    [
        REFUND,
        REFUND | {"amount_cents": 1},
        REFUND | {"amount_cents": 99_999_999},
        REFUND | {"amount_cents": None},
        REFUND | {"reason": "x" * 500},
    ],
)
def test_refunds_that_can_be_asked_for(arguments: dict[str, Any]) -> None:
    taken = RefundPayment.model_validate(arguments)
    stored = json.loads(taken.model_dump_json())
    assert RefundPayment.model_validate(stored) == taken
    assert stored["amount_cents"] == arguments.get("amount_cents")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"payment_id": PAYMENT},
        {"reason": "r"},
        REFUND | {"payment_id": "42"},
        REFUND | {"payment_id": None},
        REFUND | {"amount_cents": 0},
        REFUND | {"amount_cents": -500},
        REFUND | {"amount_cents": 12.5},
        REFUND | {"amount_cents": 100_000_000},
        REFUND | {"amount_cents": 10**30},
        REFUND | {"amount_cents": "all"},
        REFUND | {"reason": ""},
        REFUND | {"reason": " \n "},
        REFUND | {"reason": "x" * 501},
        REFUND | {"user_id": PAYMENT},
    ],
)
def test_refunds_that_cannot(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RefundPayment.model_validate(arguments)


@pytest.mark.parametrize(
    ("arguments", "query", "limit"),
    [
        ({"query": "trains"}, "trains", 5),
        ({"query": " trains "}, "trains", 5),
        ({"query": "x" * 500, "limit": 20}, "x" * 500, 20),
        ({"query": "x", "limit": 1}, "x", 1),
    ],
)
def test_searches_that_can_be_asked_for(arguments: dict[str, Any], query: str, limit: int) -> None:
    taken = SearchMemory.model_validate(arguments)
    assert (taken.query, taken.limit) == (query, limit)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"query": ""},
        {"query": "  "},
        {"query": "x" * 501},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": 21},
        {"query": "x", "limit": None},
        {"query": "x", "user_id": PAYMENT},
    ],
)
def test_searches_that_cannot(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchMemory.model_validate(arguments)
