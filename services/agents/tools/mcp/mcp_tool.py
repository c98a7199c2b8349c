"""A tool of an MCP server: called only while it is what a person has agreed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import UnavailableError
from services.agents.knowledge.look_ups import is_overdue
from services.agents.tools.catalog import Effect, ToolResources
from services.agents.tools.http.http_write import WRITE_PATIENCE
from services.agents.tools.http.secrets import hide_secrets
from services.agents.tools.mcp.agreed import AgreedTool
from services.agents.tools.outside import find_refusal, start_call, unknown_outcome
from services.stripe_idempotency import finish

if TYPE_CHECKING:
    from adapters.mcp_client import McpConnection, McpResult
    from services.agents.tools.mcp.servers import McpServer

HELD = "tool_held"
_HELD_FACTS = {
    "code": HELD,
    "message": "the tool is not what was agreed to any more, and is held until a person agrees",
}


@dataclass(frozen=True)
class McpTool:
    """A tool of an MCP server.

    Args:
        name: Name by which models call it.
        server: Its server.
        agreed: What a person has agreed to.
        has_effect: Whether it writes.
        is_error_without_effect: Whether an error of it means that it wrote nothing.
    """

    name: str
    server: "McpServer"
    agreed: AgreedTool
    has_effect: bool
    is_error_without_effect: bool

    async def call(self, resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
        """Make a call, unless an attempt before may have made it.

        Raises:
            ApplicationError: The server's address is refused, or it does not answer now.
        """
        if call.tool_call_status == ToolCallStatus.STARTED:
            return unknown_outcome(call)
        if self.has_effect:
            refusal = await find_refusal(resources.sessions, run, call, None)
            if refusal is not None:
                return refusal
        attempt = _Attempt(self, resources, call)
        try:
            return await attempt.make()
        except UnavailableError as error:
            if attempt.is_sent:
                return unknown_outcome(call)
            if self.has_effect and is_overdue(WRITE_PATIENCE):
                facts = {"code": UnavailableError.code, "message": error.message}
                return Effect(ToolCallStatus.FAILED, facts)
            raise

    def is_held(self) -> bool:
        """Tell whether the tool was found to be not what a person has agreed to."""
        return self.agreed.name in self.server.held

    async def preview(
        self, session: AsyncSession, run: AgentRun, arguments: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return which tool of which server a call is for."""
        del session, run, arguments  # Reason: the approver sees the arguments anyway.
        return {"mcp_server": self.server.name, "tool": self.agreed.name}


class _Attempt:
    """One attempt at a call, which knows whether its request may have been sent."""

    def __init__(self, tool: McpTool, resources: ToolResources, call: ToolCall) -> None:
        self._tool, self._sessions, self._call = tool, resources.sessions, call
        self.is_sent = False

    async def make(self) -> Effect:
        # Reason: the SDK takes a second to load, and most processes never need it.
        from adapters.mcp_client import use_server  # noqa: PLC0415

        server = self._tool.server
        limit = server.spec.time_limit.total_seconds()
        using = use_server(server.egress, server.url, server.headers, limit, self._work)
        # Reason: a worker that is shut down waits for the answer, which may be the only one.
        return await (finish(using, is_last=True) if self._tool.has_effect else using)

    async def _work(self, connection: "McpConnection") -> Effect:
        offered = {each.name: AgreedTool(*each) for each in await connection.list_tools()}
        agreed = self._tool.agreed
        if agreed.name not in offered or offered[agreed.name].digest != agreed.digest:
            self._tool.server.held.add(agreed.name)
            return Effect(ToolCallStatus.FAILED, _HELD_FACTS)
        if self._tool.has_effect:
            if not await start_call(self._sessions, self._call):
                return unknown_outcome(self._call)
            self.is_sent = True
        result = await connection.call(agreed.name, self._call.arguments_data)
        return self._effect(result)

    def _effect(self, result: "McpResult") -> Effect:
        facts = {"texts": result.texts, "structured": result.structured}
        shown = _without_secrets(facts, self._tool.server.secrets)
        if not result.is_error:
            return Effect(ToolCallStatus.DONE, shown)
        is_harmless = not self._tool.has_effect or self._tool.is_error_without_effect
        if not is_harmless and not result.is_refused:
            return unknown_outcome(self._call, shown)
        message = "the server says that the call failed"
        return Effect(ToolCallStatus.FAILED, {"code": "tool_refused", "message": message, **shown})


def _without_secrets(facts: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return facts without secrets; as texts only if they are nested too deeply to be stored."""
    try:
        text = orjson.dumps(facts).decode()
    except TypeError:
        text = orjson.dumps({**facts, "structured": None}).decode()
    shown: dict[str, Any] = orjson.loads(hide_secrets(text, secrets.values()))
    return shown
