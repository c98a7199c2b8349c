"""Perdure's command line: every command hands over to the room that does the work."""

import asyncio
import contextlib
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

PROJECT = Path(__file__).resolve().parent

STACK_FILE = Path(".perdure/stack.json")

app = typer.Typer(help="The durable backend of an AI product.", no_args_is_help=True)


class PortChoice(StrEnum):
    """How `up` finds its ports."""

    FIXED = "fixed"
    AUTO = "auto"


@app.callback()
def _root() -> None:
    # Reason: with a callback typer keeps a lone command's name.
    pass


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder that keeps everything.")] = Path(".perdure"),
    ports: Annotated[
        PortChoice,
        typer.Option(help="fixed: PERDURE_PORT_<NAME> or the usual ones; auto: free ones."),
    ] = PortChoice.FIXED,
) -> None:
    """Start the whole stack on this machine, and keep it running until Ctrl-C."""
    from stack.up import up as run_stack  # noqa: PLC0415

    dotenv = {name: value for name, value in dotenv_values(PROJECT / ".env").items() if value}
    environ = {**dotenv, **os.environ}
    raise typer.Exit(run_stack(PROJECT, data, environ, is_auto=ports is PortChoice.AUTO))


@app.command()
def migrate() -> None:
    """Bring the database and Temporal's namespace to what this version needs."""
    from commands.migrate import migrate_database, prepare  # noqa: PLC0415
    from config import Settings  # noqa: PLC0415

    settings = Settings()
    migrate_database(settings.database_url)
    asyncio.run(prepare(settings, os.environ.get("PERDURE_ADMIN_API_KEY")))
    typer.echo("database and namespace are up to date")


@app.command()
def replay(
    target: Annotated[str, typer.Argument(help="A workflow id, or a file with a history.")],
    stack: Annotated[Path, typer.Option(help="Where a running stack is.")] = STACK_FILE,
    record: Annotated[
        str | None,
        typer.Option(help="Keep the history as a test, tests/replay/histories/NAME.json."),
    ] = None,
) -> None:
    """Run a history against today's workflow code, and name the first difference.

    The file is JSON as `temporal workflow show --output json` and the API write it. Exit code 0:
    it replays; 1: it differs; 2: there is no such history.
    """
    from commands.replay import replay_command  # noqa: PLC0415

    kept = PROJECT / "tests" / "replay" / "histories" / f"{record}.json" if record else None
    raise typer.Exit(asyncio.run(replay_command(target, stack, kept)))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the demo's stack; a temporary one by default."),
    ] = None,
) -> None:
    """Tell the story of a subscription, on a stack of its own, and check that it is true."""
    from commands.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(PROJECT, data, is_kept=keep))


def main() -> None:
    """Run a command and leave at once with its exit code."""
    code = 1
    try:
        app()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    # Reason: a process that ran Temporal's SDK may abort in the interpreter's own exit.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
