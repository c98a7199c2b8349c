"""Reads the settings of a command: from the environment, or from a running stack."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from dotenv import dotenv_values

if TYPE_CHECKING:
    from config import Settings

PROJECT = Path(__file__).resolve().parent.parent

StackOption = Annotated[
    Path | None,
    typer.Option(help="stack.json of a running stack, or its folder."),
]


def read_environ() -> dict[str, str]:
    """Return the environment, with `.env` beneath it."""
    dotenv = {name: value for name, value in dotenv_values(PROJECT / ".env").items() if value}
    return {**dotenv, **os.environ}


def stack_facts(stack: Path | None) -> dict[str, Any] | None:
    """Return what the `stack.json` says that the settings come from; None if from none."""
    from commands.targets import find_stack, read_stack  # noqa: PLC0415

    place = find_stack(stack, read_environ())
    return read_stack(place) if place else None


def read_settings(
    stack: Path | None,
    exit_code: int = 2,
    *,
    is_serving: bool = False,
) -> "Settings":
    """Return the settings of the environment, or of a running stack if there are none."""
    from pydantic import ValidationError  # noqa: PLC0415

    from commands.targets import TargetError, find_stack, lines_of, settings_of_stack  # noqa: PLC0415
    from config import ServingSettings, Settings  # noqa: PLC0415

    environ = read_environ()
    kind = ServingSettings if is_serving else Settings
    try:
        place = find_stack(stack, environ)
        return kind(**settings_of_stack(place, environ)) if place else kind()
    except TargetError as error:
        refuse(list(map(str, error.args)), exit_code)
    except ValidationError as error:
        refuse(lines_of(error, Settings), exit_code)


def refuse(lines: list[str], exit_code: int = 2) -> NoReturn:
    """Print errors, one a line, and leave."""
    for line in lines:
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(exit_code)
