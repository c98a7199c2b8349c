"""Reads the settings of a process, and names every variable that is wrong or misspelled."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from config import Settings

_DELIMITER = "__"
# Least likeness of a misspelled name to a setting. Names of other programs are less like ours.
_LIKENESS = 0.8
_LIKENESS_WITHOUT_SECTION = 0.85
_LIKENESS_WITHIN_SECTION = 0.7

SettingsKind = TypeVar("SettingsKind", bound=Settings)


class WrongSettingsError(Exception):
    """Settings are wrong, missing or misspelled; each argument is a line that holds no value."""


def load_settings(kind: type[SettingsKind], **given: Any) -> SettingsKind:
    """Read the settings from the environment and `.env`.

    Args:
        kind: The settings class.
        given: Values that replace those of the environment.

    Returns:
        The settings, whose database URL can be parsed.

    Raises:
        WrongSettingsError: A variable is wrong, missing or misspelled.
    """
    dotenv = dotenv_values(".env")
    if lines := misspelled_names(os.environ, dotenv):
        raise WrongSettingsError(*lines)
    try:
        settings = kind(**given)
    except ValidationError as error:
        raise WrongSettingsError(*error_lines(error, kind)) from None
    except SettingsError as error:
        raise WrongSettingsError(_unparsed_line(error, {*os.environ, *dotenv})) from None
    if not _is_database_url(settings.database_url):
        raise WrongSettingsError("DATABASE_URL: is not postgresql://user:password@host:port/name")
    return settings


def misspelled_names(environ: Mapping[str, object], dotenv: Mapping[str, object]) -> list[str]:
    """Return a line for each variable whose name looks like that of a setting, but is not one.

    Args:
        environ: The environment variables. A name without `__` may belong to another program,
            and is not judged.
        dotenv: The variables of `.env`, which belong to this project.

    Returns:
        Lines with the name and the nearest setting, without values.
    """
    candidates = sorted(
        {name.upper() for name in environ if _DELIMITER in name} | {name.upper() for name in dotenv}
    )
    lines = []
    for name in candidates:
        if name in _known_names() or (nearest := _nearest(name)) is None:
            continue
        advice = f"; did you mean {nearest}?" if nearest else ""
        lines.append(f"{name} is not a setting{advice}")
    return lines


def error_lines(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return the errors of the settings, one line per variable.

    Args:
        error: The error that the settings class raised.
        model: The settings class.

    Returns:
        Lines that begin with the variable's name; they never hold its value.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        names = [str(part) for part in problem["loc"]]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            names += _first_required(model, names)
            message = "is missing"
        # Reason: a rule about several settings has no place, and its message names them.
        place = f"{_DELIMITER.join(names).upper()}: " if names else ""
        lines.append(f"{place}{message}")
    return lines


def _is_database_url(text: str) -> bool:
    # Reason: commands that need no database start faster without SQLAlchemy.
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from database.session import sqlalchemy_url  # noqa: PLC0415

    try:
        make_url(sqlalchemy_url(text))
    except (ValueError, ArgumentError):
        return False
    return True


def _nearest(name: str) -> str | None:
    """Return the setting that a name is meant to be; empty if unclear, None if it is foreign."""
    known = sorted(_known_names())
    section, delimiter, _ = name.partition(_DELIMITER)
    if delimiter and section in known:
        within = [each for each in known if each.startswith(f"{section}{_DELIMITER}")]
        return next(iter(get_close_matches(name, within, 1, _LIKENESS_WITHIN_SECTION)), "")
    likeness = _LIKENESS if delimiter else _LIKENESS_WITHOUT_SECTION
    return next(iter(get_close_matches(name, known, 1, likeness)), None)


@cache
def _known_names() -> frozenset[str]:
    return frozenset(_names(Settings))


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for field, info in model.model_fields.items():
        name = f"{prefix}{field}".upper()
        yield name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _names(info.annotation, f"{name}{_DELIMITER}")


def _unparsed_line(error: SettingsError, given: set[str]) -> str:
    """Return the line for a variable that is to be JSON and is not."""
    # Reason: the error names the field of the outer class only, and that in its message only.
    field = str(error).partition('"')[2].partition('"')[0].upper()
    names = sorted(name.upper() for name in given if name.upper().startswith(field))
    is_list = [name for name in names if name.endswith(("ORIGINS", "HOSTS"))]
    return f'{", ".join(is_list or [field])}: must be JSON, for example ["a", "b"]'


def _first_required(model: type[BaseModel], names: list[str]) -> list[str]:
    """Return the first required field of a section if the whole section is missing."""
    section = model.model_fields[names[0]].annotation
    if len(names) > 1 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return []
    return [name for name, field in section.model_fields.items() if field.is_required()][:1]
