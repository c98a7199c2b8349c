"""What a tool is: its schema, its limits, and who has to say yes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain.llm import ToolDefinition


class Arguments(BaseModel):
    """Base of all arguments: what a model makes up beside them is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ToolSpec:
    """One tool.

    Args:
        name: As models call it.
        description: When to use it, for the model.
        arguments: What it takes.
        approver_role: Whose yes every single call needs; None if it needs nobody's.
        time_limit: How long one try may take.
        output_limit_bytes: What is longer is cut before the model sees it.
    """

    name: str
    description: str
    arguments: type[Arguments]
    approver_role: str | None = None
    time_limit: timedelta = timedelta(seconds=30)
    output_limit_bytes: int = 16_000

    @property
    def definition(self) -> ToolDefinition:
        """The tool as a model sees it."""
        schema = self.arguments.model_json_schema()
        del schema["description"]  # our own docstring
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=_without_titles(schema),
        )


def _without_titles(schema: Any) -> Any:
    """Leave out what pydantic adds for people: it would cost tokens in every prompt."""
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
