"""Reads a command's settings from the environment or from a running stack."""

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
    """Return the environment variables, with those of `.env` that the environment does not set."""
    dotenv = {name: value for name, value in dotenv_values(PROJECT / ".env").items() if value}
    return {**dotenv, **os.environ}


def stack_facts(stack: Path | None) -> dict[str, Any] | None:
    """Return the content of the `stack.json` to use; None if the environment has the settings."""
    from commands.targets import find_stack, read_stack  # noqa: PLC0415

    path = find_stack(stack, read_environ())
    return read_stack(path) if path else None


def read_settings(
    stack: Path | None,
    exit_code: int = 2,
    *,
    is_serving: bool = False,
) -> "Settings":
    """Return the settings from the environment, or from a running stack; exit if they are wrong."""
    from pydantic import ValidationError  # noqa: PLC0415

    from commands.targets import TargetError, error_lines, find_stack, stack_settings  # noqa: PLC0415
    from config import ServingSettings, Settings  # noqa: PLC0415

    environ = read_environ()
    settings_class = ServingSettings if is_serving else Settings
    try:
        path = find_stack(stack, environ)
        return settings_class(**stack_settings(path, environ)) if path else settings_class()
    except TargetError as error:
        refuse(list(map(str, error.args)), exit_code)
    except ValidationError as error:
        refuse(error_lines(error, Settings), exit_code)


def refuse(lines: list[str], exit_code: int = 2) -> NoReturn:
    """Print the errors, one per line, and exit."""
    for line in lines:
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(exit_code)
