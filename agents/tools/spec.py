"""What a tool is: its schema, its limits, and who has to say yes."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain.llm.messages import ToolDefinition


class Arguments(BaseModel):
    """Base of all arguments: what a model makes up beside them is refused, and so are blanks."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class ToolSpec:
    """One tool.

    Args:
        name: As models call it.
        description: When to use it, for the model.
        arguments: What it takes.
        approver_role: Whose yes every single call needs; None if it needs nobody's,
            because it only looks: a cancel does not wait for it.
        time_limit: How long one try may take.
        patience: For how long it is tried while what it needs is down; then the model is told so.
            None for ever: its outcome has to be found out.
        output_limit_bytes: What is longer is cut before the model sees it.
    """

    name: str
    description: str
    arguments: type[Arguments]
    approver_role: str | None = None
    time_limit: timedelta = timedelta(seconds=30)
    patience: timedelta | None = None
    output_limit_bytes: int = 16_000

    @cached_property
    def definition(self) -> ToolDefinition:
        """The tool as a model sees it."""
        schema = self.arguments.model_json_schema()
        schema.pop("description", None)  # our own docstring
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=_for_models(schema),
        )


def _for_models(schema: Any) -> Any:
    """Leave out titles, which cost tokens in every prompt, and null: a model leaves a field out."""
    if isinstance(schema, list):
        return [_for_models(each) for each in schema if each != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _for_models(value) for key, value in schema.items() if not _is_noise(key, value)}
    match kept.get("anyOf"):
        case [dict(only)]:
            del kept["anyOf"]
            return only | kept
    return kept


def _is_noise(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
