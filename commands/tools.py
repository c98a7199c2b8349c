"""The commands below `cli.py tools`."""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from commands.settings import read_environ

if TYPE_CHECKING:
    from services.agents.tools.catalog import Tool

tools_app = typer.Typer(help="Check the tools of agents.", no_args_is_help=True)


@tools_app.callback()
def _tools() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@tools_app.command(
    "check", epilog="Example: python cli.py tools check --folder examples/http_tools"
)
def check_tools(
    folder: Annotated[
        str | None,
        typer.Option(help="Folder of the files; TOOLS__FOLDER, or agents/http_tools, by default."),
    ] = None,
) -> None:
    """Check the files of HTTP tools, and print what is wrong with file and field.

    It needs no running stack, and sends no request but for OpenAPI documents that files name by
    their address. Exit code 0: all files are right; 1: a file is wrong.
    """
    environ = read_environ()
    lines, problems = examine_tools(folder or environ.get("TOOLS__FOLDER", ""), environ)
    for line in lines:
        typer.echo(line)
    for line in problems:
        typer.echo(f"error: {line}", err=True)
    if not problems:
        typer.echo(f"{len(lines)} HTTP tools, all right")
    raise typer.Exit(1 if problems else 0)


def examine_tools(folder: str, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Read the files of HTTP tools.

    Args:
        folder: Folder of the files; empty for that of the product.
        environ: Variables that the files may refer to.

    Returns:
        A line for each tool, and a line for each file that is wrong.
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
    return list(map(_line, tools)), problems


def _line(tool: "Tool") -> str:
    role = tool.spec.approver_role
    return f"{tool.spec.name}: {f'each call is approved by: {role}' if role else 'reads only'}"


def _allowed_private_hosts(environ: Mapping[str, str]) -> Collection[str]:
    try:
        hosts = json.loads(environ.get("EGRESS__ALLOWED_PRIVATE_HOSTS") or "[]")
    except ValueError:
        return ()
    return hosts if isinstance(hosts, list) else ()
