"""Builds the catalogue of tools, and checks the specs of agents against what there is."""

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values

from adapters.egress import Egress
from agents.registry import all_agents, check_agents
from config import Settings
from domain.errors import InvalidInputError
from services.agents.model_calls.output import schema_problems
from services.agents.tools.built_in import BUILT_IN_TOOLS
from services.agents.tools.catalog import Tool, ToolCatalog
from services.agents.tools.http.files import ToolSources, find_files, read_tool
from services.agents.tools.mcp.agreed import read_agreed
from services.agents.tools.mcp.servers import (
    McpServer,
    make_tools,
    read_server,
    watch_server,
)
from workflows.agents.graphs import PATTERNS

_AGENTS = Path(__file__).resolve().parents[1] / "agents"
HTTP_TOOLS, MCP_SERVERS = _AGENTS / "http_tools", _AGENTS / "mcp_servers"

Found = TypeVar("Found")


def make_tool_catalog(settings: Settings | None = None) -> ToolCatalog:
    """Make the catalogue of the tools of all sources.

    Args:
        settings: Settings that name other sources; None for the tools that come with the product.

    Raises:
        InvalidInputError: The file of a tool or of a server is wrong; the message has file and
            field.
    """
    catalog = ToolCatalog(BUILT_IN_TOOLS)
    if settings is None:
        return catalog
    folders, hosts = settings.tools, settings.egress.allowed_private_hosts
    sources = tool_sources(hosts)
    found = read_http_tools(folders.folder, hosts)
    problems = [each for each in found if isinstance(each, str)]
    try:
        catalog.add([each for each in found if isinstance(each, Tool)])
        servers = read_mcp_servers(folders.mcp_folder, sources)
        agreed = read_agreed(mcp_folder(folders.mcp_folder))
        for each in servers:
            if isinstance(each, str):
                problems.append(each)
            else:
                its_tools = agreed.get(each.name, {})
                catalog.add(make_tools(each, its_tools.values()))
                catalog.watches.append(partial(watch_server, each, its_tools))
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    if problems:
        raise InvalidInputError("; ".join(problems))
    return catalog


def tool_sources(
    allowed_private_hosts: Collection[str], environ: Mapping[str, str] | None = None
) -> ToolSources:
    """Return what files of tools and servers may refer to.

    Args:
        allowed_private_hosts: Hosts of private networks that tools may call.
        environ: Variables that the files may refer to; those of the process by default.
    """
    if environ is None:
        dotenv = {name: value for name, value in dotenv_values(".env").items() if value}
        environ = {**dotenv, **os.environ}
    return ToolSources(environ, Egress(allowed_private_hosts))


def read_http_tools(
    folder: str, allowed_private_hosts: Collection[str], environ: Mapping[str, str] | None = None
) -> list[Tool | str]:
    """Read the files of HTTP tools.

    Args:
        folder: Folder of the files; empty for that of the product.
        allowed_private_hosts: Hosts of private networks that tools may call.
        environ: Variables that the files may refer to; those of the process by default.

    Returns:
        For each file the tool, or what is wrong with it.
    """
    if folder and not Path(folder).is_dir():
        return [f"TOOLS__FOLDER: there is no folder {folder}"]
    sources = tool_sources(allowed_private_hosts, environ)
    return _read_all(Path(folder) if folder else HTTP_TOOLS, sources, read_tool)


def mcp_folder(folder: str) -> Path:
    """Return the folder of the files of MCP servers; empty for that of the product."""
    return Path(folder) if folder else MCP_SERVERS


def read_mcp_servers(folder: str, sources: ToolSources) -> list[McpServer | str]:
    """Read the files of MCP servers.

    Args:
        folder: Folder of the files; empty for that of the product.
        sources: What the files may refer to.

    Returns:
        For each file the server, or what is wrong with it.
    """
    if folder and not Path(folder).is_dir():
        return [f"TOOLS__MCP_FOLDER: there is no folder {folder}"]
    return _read_all(mcp_folder(folder), sources, read_server)


def load_agents(tools: ToolCatalog) -> None:
    """Read the specs of all agents before the first run, and check their patterns and tools.

    Raises:
        InvalidInputError: A spec is invalid, or names something that does not exist; the message
            has the file.
    """
    try:
        check_agents(PATTERNS.keys(), tools.names)
        problems = [each for spec in all_agents().values() for each in schema_problems(spec)]
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    if problems:
        raise InvalidInputError(problems[0])


def _read_all(
    folder: Path, sources: ToolSources, read: Callable[[Path, ToolSources], Found]
) -> list[Found | str]:
    found: list[Found | str] = []
    for path in find_files(folder):
        try:
            found.append(read(path, sources))
        except ValueError as error:
            found.append(str(error))
    return found
