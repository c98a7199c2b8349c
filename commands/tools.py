"""The commands below `cli.py tools`."""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from commands.settings import read_environ, refuse

if TYPE_CHECKING:
    from services.agents.tools.catalog import Tool
    from services.agents.tools.mcp.agreed import AgreedTool

tools_app = typer.Typer(help="Check tools from outside, and agree to them.", no_args_is_help=True)


@tools_app.command(
    "check", epilog="Example: python cli.py tools check --folder examples/http_tools"
)
def check_tools(
    folder: Annotated[
        str | None,
        typer.Option(help="Folder of HTTP tools; TOOLS__FOLDER, or agents/http_tools, by default."),
    ] = None,
) -> None:
    """Check the files of HTTP tools and MCP servers, and print what is wrong with file and field.

    It needs no running stack. MCP servers are asked for their tools, and OpenAPI documents that
    files name by their address are read; nothing else is sent. Exit code 0: all is right; 1: a file
    is wrong, or a tool is held.
    """
    environ = read_environ()
    lines, problems = examine_tools(folder or environ.get("TOOLS__FOLDER", ""), environ)
    for line in lines:
        typer.echo(line)
    for line in problems:
        typer.echo(f"error: {line}", err=True)
    if not problems:
        typer.echo(f"{len(lines)} tools, all right")
    raise typer.Exit(1 if problems else 0)


@tools_app.command("agree", epilog="Example: python cli.py tools agree shop")
def agree_tools(
    server: Annotated[str, typer.Argument(help="Name of the MCP server's file, without .toml.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked.")] = False,
) -> None:
    """Show which tools an MCP server offers that nobody has agreed to yet, and agree to them.

    What models read of a tool stands in mcp.lock.json from then on, beside the server's file. API
    and workers have to be started again. Exit code 0: all is agreed to; 1: it is not, or the server
    does not answer; 2: there is no such server.
    """
    from bootstrap.tools import mcp_folder, read_mcp_servers, tool_sources  # noqa: PLC0415
    from services.agents.tools.mcp.agreed import read_agreed, write_agreed  # noqa: PLC0415
    from services.agents.tools.mcp.servers import McpServer, offered_tools  # noqa: PLC0415

    environ = read_environ()
    folder = environ.get("TOOLS__MCP_FOLDER", "")
    sources = tool_sources(_allowed_private_hosts(environ), environ)
    servers = read_mcp_servers(folder, sources)
    if problems := [each for each in servers if isinstance(each, str)]:
        refuse(problems)
    named = {each.name: each for each in servers if isinstance(each, McpServer)}
    if server not in named:
        refuse([f"there is no {server}.toml in {mcp_folder(folder)}"])
    try:
        agreed = read_agreed(mcp_folder(folder))
    except ValueError as error:
        typer.echo(f"{error}; all tools are shown", err=True)
        agreed = {}
    offered = asyncio.run(offered_tools(named[server]))
    for line in _differences(agreed.get(server, {}), offered):
        typer.echo(line)
    if not yes and not typer.confirm("Agree to all of it?"):
        raise typer.Exit(1)
    write_agreed(mcp_folder(folder), {**agreed, server: offered})
    typer.echo(f"{len(offered)} tools of {server} are agreed to; start API and workers again")


def examine_tools(folder: str, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Read the files of HTTP tools and MCP servers.

    Args:
        folder: Folder of the HTTP tools; empty for that of the product.
        environ: Variables that the files may refer to.

    Returns:
        A line for each tool, and a line for each thing that is wrong.
    """
    from bootstrap.tools import read_http_tools  # noqa: PLC0415
    from services.agents.tools.built_in import BUILT_IN_TOOLS  # noqa: PLC0415
    from services.agents.tools.catalog import Tool  # noqa: PLC0415

    found = read_http_tools(folder, _allowed_private_hosts(environ), environ)
    tools = [each for each in found if isinstance(each, Tool)]
    problems = [each for each in found if isinstance(each, str)]
    built_in = {tool.spec.name for tool in BUILT_IN_TOOLS}
    problems += [
        f"{tool.spec.name}.toml: there is a tool of this name already"
        for tool in tools
        if tool.spec.name in built_in
    ]
    mcp_tools, mcp_problems = asyncio.run(examine_servers(environ))
    return list(map(_line, (*tools, *mcp_tools))), [*problems, *mcp_problems]


async def examine_servers(environ: Mapping[str, str]) -> "tuple[list[Tool], list[str]]":
    """Read the files of MCP servers, and ask the servers for their tools.

    Args:
        environ: Variables that the files may refer to.

    Returns:
        The tools that a person has agreed to, and a line for each thing that is wrong.
    """
    from bootstrap.tools import mcp_folder, read_mcp_servers, tool_sources  # noqa: PLC0415
    from services.agents.tools.mcp.agreed import read_agreed  # noqa: PLC0415
    from services.agents.tools.mcp.servers import describe_server, make_tools  # noqa: PLC0415

    folder = environ.get("TOOLS__MCP_FOLDER", "")
    sources = tool_sources(_allowed_private_hosts(environ), environ)
    tools: list[Tool] = []
    problems: list[str] = []
    for server in read_mcp_servers(folder, sources):
        if isinstance(server, str):
            problems.append(server)
            continue
        try:
            agreed = read_agreed(mcp_folder(folder)).get(server.name, {})
            tools += make_tools(server, agreed.values())
        except ValueError as error:
            problems.append(str(error))
        else:
            problems += await describe_server(server, agreed)
    return tools, problems


def _line(tool: "Tool") -> str:
    role = tool.spec.approver_role
    return f"{tool.spec.name}: {f'each call is approved by: {role}' if role else 'reads only'}"


def _differences(
    agreed: "Mapping[str, AgreedTool]", offered: "Mapping[str, AgreedTool]"
) -> list[str]:
    """Return what a person has to read before agreeing, without anything that a terminal obeys."""
    from services.agents.tools.mcp.agreed import compare  # noqa: PLC0415

    lines = []
    for name, what in compare(agreed, offered.values()).items():
        lines.append(f"{what}: {json.dumps(name)}")
        if name in offered:
            shown = {"description": offered[name].description, "schema": offered[name].schema}
            lines.append(json.dumps(shown, indent=2))
    return lines


def _allowed_private_hosts(environ: Mapping[str, str]) -> Collection[str]:
    try:
        hosts = json.loads(environ.get("EGRESS__ALLOWED_PRIVATE_HOSTS") or "[]")
    except ValueError:
        return ()
    return hosts if isinstance(hosts, list) else ()
