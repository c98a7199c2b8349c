"""Reads a command's settings from the environment or from a running stack, and reports errors."""

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from dotenv import dotenv_values

if TYPE_CHECKING:
    from config import Settings

PROJECT = Path(__file__).resolve().parent.parent
_PRIVATE_HOSTS = "EGRESS__ALLOWED_PRIVATE_HOSTS"

StackOption = Annotated[
    Path | None,
    typer.Option(help="stack.json of a running stack, or its folder."),
]


class CommandError(Exception):
    """A command cannot go on; every argument is a line with a reason."""


def log_to_stderr() -> None:
    """Write warnings and errors of the log to standard error; a command's output is its own."""
    import structlog  # noqa: PLC0415

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def read_environ() -> dict[str, str]:
    """Return the environment variables, with those of `.env` that the environment does not set."""
    dotenv = {name: value for name, value in dotenv_values(PROJECT / ".env").items() if value}
    return {**dotenv, **os.environ}


def allow_private_hosts(environ: dict[str, str], hosts: list[str]) -> dict[str, str]:
    """Return the environment with more hosts of private networks that webhooks may be sent to."""
    if not hosts:
        return environ
    try:
        known = json.loads(environ.get(_PRIVATE_HOSTS) or "[]")
    except json.JSONDecodeError:
        # Reason: the settings refuse the variable themselves, and name it.
        return environ
    return {**environ, _PRIVATE_HOSTS: json.dumps([*known, *hosts])}


def refuse_misspelled_names() -> None:
    """Exit if a variable of the environment or of `.env` has nearly the name of a setting."""
    from bootstrap.settings import misspelled_names  # noqa: PLC0415

    if lines := misspelled_names(os.environ, dotenv_values(PROJECT / ".env")):
        refuse(lines)


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
    from bootstrap.settings import WrongSettingsError, load_settings  # noqa: PLC0415
    from commands.targets import TargetError, find_stack, stack_settings  # noqa: PLC0415
    from config import ServingSettings, Settings  # noqa: PLC0415

    environ = read_environ()
    settings_class = ServingSettings if is_serving else Settings
    try:
        path = find_stack(stack, environ)
        return load_settings(settings_class, **(stack_settings(path, environ) if path else {}))
    except TargetError as error:
        refuse(list(map(str, error.args)))
    except WrongSettingsError as error:
        refuse(list(map(str, error.args)), exit_code)


def refuse(lines: list[str], exit_code: int = 2) -> NoReturn:
    """Print the errors, one per line, and exit."""
    for line in lines:
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(exit_code)


def report(error: Exception) -> int:
    """Print what ended a command: in a line if the cause is outside, else with its traceback.

    Args:
        error: The error.

    Returns:
        The exit code: 2 for wrong settings or input, 1 for a missing server or a defect.
    """
    from bootstrap.failures import WRONG_INPUT, Failure, explain  # noqa: PLC0415

    if isinstance(error, CommandError):
        failure: Failure | None = Failure(list(map(str, error.args)), WRONG_INPUT)
    else:
        failure = explain(error)
    if failure is None:
        traceback.print_exception(error)
        return 1
    for line in failure.lines:
        typer.echo(f"error: {line}", err=True)
    return failure.exit_code
