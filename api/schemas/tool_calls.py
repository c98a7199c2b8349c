"""Schemas of tool calls whose outcome a person has to find out."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import MASKED, Input, Output
from database.agents.models import ToolCall


class OutcomeIn(Input):
    """What an administrator has found out about a tool call."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"is_done": True, "note": "Booked as order 4711."}]}
    )

    is_done: bool
    note: Annotated[str, StringConstraints(max_length=1_000), MASKED] | None = Field(
        default=None, description="What else the model should know."
    )


class ToolOutcomeOut(Output):
    """A tool call, with what is known of its outcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "call_id": "1de0a9b8-c7d6-4e5f-8a3b-2c1d0e9f8a7b",
                    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
                    "tool": "create_order",
                    "arguments": {"sku": "A-17", "count": 2},
                    "tool_call_status": "outcome_unknown",
                    "result": {"status": "outcome_unknown", "code": "outcome_unknown"},
                    "created_at": "2026-11-23T09:00:00Z",
                }
            ]
        }
    )

    call_id: UUID
    agent_run_id: UUID
    tool: str
    arguments: dict[str, Any]
    tool_call_status: str
    result: dict[str, Any] | None
    created_at: datetime

    @classmethod
    def of(cls, row: ToolCall) -> "ToolOutcomeOut":
        """Render a tool call."""
        return cls(
            call_id=row.call_id,
            agent_run_id=row.agent_run_id,
            tool=row.tool,
            arguments=row.arguments_data,
            tool_call_status=row.tool_call_status,
            result=row.result_data,
            created_at=row.created_at,
        )
