"""Explains in one line why a process or a command cannot go on."""

from typing import NamedTuple

from sqlalchemy.exc import ProgrammingError
from temporalio.service import RPCError

from adapters.temporal.errors import is_connect_failure
from bootstrap.settings import WrongSettingsError
from database.session import DATABASE_DOWN
from domain.errors import ApplicationError, UnavailableError

# Begins the second line of PostgreSQL's client, a question.
_HINT = "\n\tIs the server running"
# PostgreSQL's code for a table that does not exist.
_NO_TABLE = "42P01"
WRONG_INPUT = 2
NO_SERVER = 1


class Failure(NamedTuple):
    """The explanation of a failure.

    Args:
        lines: One line, or one for each wrong setting; they hold no secrets.
        exit_code: 2 for wrong settings or input, 1 for a server that is missing or refuses.
    """

    lines: list[str]
    exit_code: int


def explain(error: Exception) -> Failure | None:
    """Explain a failure that has its cause outside of the code.

    Args:
        error: Any error that ended a process or a command.

    Returns:
        The explanation; None for a defect, which needs its traceback.
    """
    if isinstance(error, WrongSettingsError):
        return Failure([str(line) for line in error.args], WRONG_INPUT)
    if isinstance(error, ApplicationError):
        is_down = isinstance(error, UnavailableError)
        return Failure([_one_line(error.message)], NO_SERVER if is_down else WRONG_INPUT)
    reason = _missing_server(error)
    return None if reason is None else Failure([_one_line(reason)], NO_SERVER)


def _missing_server(error: Exception) -> str | None:
    if isinstance(error, RPCError):
        return f"Temporal refuses: {error.message}"
    if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", "") == _NO_TABLE:
        return "the database is not migrated: run `python cli.py migrate`"
    if isinstance(error, DATABASE_DOWN):
        # Reason: SQLAlchemy's own text adds the statement and a link.
        reason = str(getattr(error, "orig", None) or error)
        return f"PostgreSQL cannot be reached: {reason.partition(_HINT)[0]}"
    return str(error) if is_connect_failure(error) else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
