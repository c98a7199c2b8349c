"""Spec of a tool: its schema, its limits, and the role that approves its calls."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain.llm.messages import ToolDefinition


class Arguments(BaseModel):
    """Base of all arguments; refuses unknown fields and strips blanks around texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class ToolSpec:
    """Spec of one tool.

    Args:
        name: Name by which models call the tool.
        description: When to use the tool, for the model.
        arguments: Schema of its arguments.
        approver_role: Role that must approve every call; None for read-only tools, which need no
            approval and for which a cancel does not wait.
        time_limit: Longest duration of one try.
        patience: How long to retry while a required system is down, before the model gets an
            error. None to retry for ever, because the outcome must become known.
        output_limit_bytes: Longer output is cut before the model reads it.
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
        """Definition of the tool as shown to a model."""
        schema = self.arguments.model_json_schema()
        schema.pop("description", None)  # docstring of the class
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=_for_models(schema),
        )


def _for_models(schema: Any) -> Any:
    """Return a schema without titles, which cost tokens, and without null alternatives."""
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
