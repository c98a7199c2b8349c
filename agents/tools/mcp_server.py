"""Spec of an MCP server: the schema of its file."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agents.tools.http_tool import HeaderName, ToolEffect, check_time_limit
from domain.base import Duration


class McpToolRule(BaseModel):
    """What we say about a tool of a server, whatever the server says.

    Args:
        effect: Whether the tool writes.
        approver_role: Role that must approve every call; `admin` for writes by default.
        is_error_without_effect: Whether an error of the tool means that it wrote nothing; by
            default a person has to find out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: ToolEffect = ToolEffect.WRITE
    approver_role: Literal["admin", "user"] | None = None
    is_error_without_effect: bool = False


class McpServerSpec(BaseModel):
    """Spec of one MCP server, read from its file; texts may have `${env:NAME}`, `${file:PATH}`.

    Args:
        url: Address of its streamable HTTP.
        headers: Headers of each request.
        time_limit: How long a call may take.
        output_limit_bytes: Longer results are cut before the model reads them.
        tools: Rules of its tools; the others write, and an administrator approves each call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(min_length=1, max_length=2_000)
    headers: dict[HeaderName, str] = Field(default={})
    time_limit: Annotated[Duration, AfterValidator(check_time_limit)] = timedelta(seconds=20)
    output_limit_bytes: int = Field(default=16_000, ge=100, le=1_000_000)
    tools: dict[str, McpToolRule] = Field(default={})
