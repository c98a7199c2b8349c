"""Reads the files of MCP servers, and makes tools of what a person has agreed to."""

import asyncio
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from adapters.egress import Egress
from agents.tools.http_tool import NAME, ToolEffect
from agents.tools.mcp_server import McpServerSpec, McpToolRule
from agents.tools.spec import ToolSpec
from domain.agents.tools.http_requests import render, secrets_in
from domain.errors import ApplicationError, InvalidInputError
from services.agents.tools.catalog import Tool
from services.agents.tools.http.files import READ_PATIENCE, ToolSources, describe_faults
from services.agents.tools.http.json_schema import make_arguments
from services.agents.tools.http.secrets import read_secret
from services.agents.tools.mcp.agreed import AgreedTool, compare, find_fault, tool_name
from services.agents.tools.mcp.mcp_tool import McpTool

if TYPE_CHECKING:
    from adapters.mcp_client import McpConnection

WATCH_SECONDS = 600.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class McpServer:
    """An MCP server that may be used.

    Args:
        name: Name of the server and of its file.
        spec: Its file.
        url: Its address.
        headers: Headers of its requests, with their secrets.
        secrets: The secrets.
        egress: Checks its address.
        held: Names of tools that were found to be not what a person has agreed to.
    """

    name: str
    spec: McpServerSpec
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    egress: Egress
    held: set[str] = field(default_factory=set, repr=False)

    async def list_tools(self) -> list[AgreedTool]:
        """Return the tools that the server offers now, and that can be offered to models.

        Raises:
            ApplicationError: The address is refused, or the server does not answer.
        """
        from adapters.mcp_client import use_server  # noqa: PLC0415

        async def work(connection: "McpConnection") -> list[AgreedTool]:
            return [AgreedTool(*each) for each in await connection.list_tools()]

        limit = self.spec.time_limit.total_seconds()
        offered = await use_server(self.egress, self.url, self.headers, limit, work)
        return [each for each in offered if self._is_offered(each)]

    def _is_offered(self, tool: AgreedTool) -> bool:
        fault = find_fault(self.name, tool)
        if fault is not None:
            log.warning("mcp_tool_left_out", server=self.name, tool=tool.name[:100], reason=fault)
        return fault is None


def read_server(path: Path, sources: ToolSources) -> McpServer:
    """Read the file of a server.

    Args:
        path: The file, which has the name of its server.
        sources: What the file may refer to.

    Raises:
        ValueError: The file is wrong; the message begins with its name and the field.
    """
    try:
        return _make_server(path, sources)
    except ValidationError as error:
        raise ValueError(describe_faults(path.name, error)) from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _make_server(path: Path, sources: ToolSources) -> McpServer:
    if not NAME.fullmatch(path.stem):
        raise ValueError("the name has other characters than a-z, 0-9 and _, or is too long")
    spec = McpServerSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    secrets = {}
    fields = {"url": spec.url, **{f"headers.{name}": text for name, text in spec.headers.items()}}
    for name, template in fields.items():
        for reference in sorted(secrets_in(template)):
            try:
                secrets[reference] = read_secret(reference, sources.environ)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    url = render(spec.url, {}, secrets)
    if not url.startswith(("http://", "https://")):
        raise ValueError("url: must begin with http:// or https://")
    headers = {name: render(text, {}, secrets) for name, text in spec.headers.items()}
    return McpServer(path.stem, spec, url, headers, secrets, sources.egress)


def make_tools(server: McpServer, agreed: Iterable[AgreedTool]) -> list[Tool]:
    """Make tools of what a person has agreed to.

    Args:
        server: The server.
        agreed: Its agreed tools.

    Raises:
        ValueError: A tool cannot be offered to models.
    """
    return [_make_tool(server, each) for each in agreed]


async def offered_tools(server: McpServer) -> dict[str, AgreedTool]:
    """Return the tools that a server offers now, by name.

    Raises:
        InvalidInputError: Two tools would have one name.
        ApplicationError: The address is refused, or the server does not answer.
    """
    offered = {each.name: each for each in await server.list_tools()}
    if len({tool_name(server.name, name) for name in offered}) < len(offered):
        raise InvalidInputError(f"{server.name}: two tools would have the same name")
    return offered


async def watch_server(server: McpServer, agreed: Mapping[str, AgreedTool]) -> None:
    """Compare what a server offers with what was agreed to, now and from time to time.

    Args:
        server: The server; tools that differ are held from then on, until the process ends.
        agreed: Its agreed tools by name.
    """
    while True:
        try:
            differences = compare(agreed, await server.list_tools())
        except ApplicationError as error:
            # Reason: each call compares anyway, and a server that is away harms nobody.
            log.warning("mcp_server_not_read", server=server.name, reason=error.message)
        else:
            held = {name for name, what in differences.items() if what != "new"}
            if new := held - server.held:
                log.warning("mcp_tools_held", server=server.name, tools=sorted(new))
            server.held.update(held)
        await asyncio.sleep(WATCH_SECONDS)


async def describe_server(server: McpServer, agreed: Mapping[str, AgreedTool]) -> list[str]:
    """Return what differs between what a server offers and what was agreed to, in sentences.

    Args:
        server: The server.
        agreed: Its agreed tools by name.
    """
    try:
        differences = compare(agreed, await server.list_tools())
    except ApplicationError as error:
        return [f"{server.name}: {error.message}"]
    advice = f"run `python cli.py tools agree {server.name}`"
    return [
        f"{server.name}: the tool {name} is {what}, and held: {advice}"
        for name, what in differences.items()
    ]


def _make_tool(server: McpServer, agreed: AgreedTool) -> Tool:
    if fault := find_fault(server.name, agreed):
        raise ValueError(f"{server.name}.toml: {agreed.name}: {fault}")
    rule = server.spec.tools.get(agreed.name) or McpToolRule()
    has_effect, role = rule.effect is ToolEffect.WRITE, rule.approver_role
    name = tool_name(server.name, agreed.name)
    tool = McpTool(name, server, agreed, has_effect, rule.is_error_without_effect)
    spec = ToolSpec(
        name,
        agreed.description or agreed.name,
        # Reason: a schema can be made so that it takes for ever; its server checks it itself.
        make_arguments(name, agreed.schema, is_checked=False),
        approver_role=(role or "admin") if has_effect else role,
        # Reason: loading the SDK takes its time, too.
        time_limit=2 * server.spec.time_limit,
        patience=None if has_effect else READ_PATIENCE,
        output_limit_bytes=server.spec.output_limit_bytes,
    )
    preview = tool.preview if spec.approver_role else None
    return Tool(spec, tool.call, preview, tool.is_held)
