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
