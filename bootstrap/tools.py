"""Builds the catalogue of tools, and checks the specs of agents against what there is."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from adapters.egress import Egress
from agents.registry import check_agents
from config import Settings
from domain.errors import InvalidInputError
from services.agents.tools.built_in import BUILT_IN_TOOLS
from services.agents.tools.catalog import Tool, ToolCatalog
from services.agents.tools.http.files import ToolSources, find_files, read_tool
from workflows.agents.graphs import PATTERNS

HTTP_TOOLS = Path(__file__).resolve().parents[1] / "agents" / "http_tools"


def make_tool_catalog(settings: Settings | None = None) -> ToolCatalog:
    """Make the catalogue of the tools of all sources.

    Args:
        settings: Settings that name other sources; None for the tools that come with the product.

    Raises:
        InvalidInputError: The file of a tool is wrong; the message has file and field.
    """
    catalog = ToolCatalog(BUILT_IN_TOOLS)
    if settings is None:
        return catalog
    found = read_http_tools(settings.tools.folder, settings.egress.allowed_private_hosts)
    try:
        catalog.add([each for each in found if isinstance(each, Tool)])
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    if problems := [each for each in found if isinstance(each, str)]:
        raise InvalidInputError("; ".join(problems))
    return catalog


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
    if environ is None:
        dotenv = {name: value for name, value in dotenv_values(".env").items() if value}
        environ = {**dotenv, **os.environ}
    sources = ToolSources(environ, Egress(allowed_private_hosts))
    return list(_read_all(Path(folder) if folder else HTTP_TOOLS, sources))


def load_agents(tools: ToolCatalog) -> None:
    """Read the specs of all agents before the first run, and check their patterns and tools.

    Raises:
        InvalidInputError: A spec is invalid, or names something that does not exist; the message
            has the file.
    """
    try:
        check_agents(PATTERNS.keys(), tools.names)
    except ValueError as error:
        raise InvalidInputError(str(error)) from error


def _read_all(folder: Path, sources: ToolSources) -> Iterator[Tool | str]:
    for path in find_files(folder):
        try:
            yield read_tool(path, sources)
        except ValueError as error:
            yield str(error)
