"""Tells what a connection was asked if a SELECT brought no rows, which should never happen.

It was seen once in many runs: SQLAlchemy raised `ResourceClosedError` for a read by primary key,
in two tests one after the other. What the server had been asked was not known.
"""

from collections.abc import Iterator
from types import TracebackType

from sqlalchemy import CursorResult
from sqlalchemy.exc import ResourceClosedError


def describe_lost_rows(error: BaseException) -> str | None:
    """Return the statement without rows and the state of its connection; None for other errors."""
    if not isinstance(error, ResourceClosedError):
        return None
    for variables in _variables(error.__traceback__):
        for value in variables.values():
            if isinstance(value, CursorResult):
                return _describe(value)
    return "no result was found in the traceback"


def _variables(traceback: TracebackType | None) -> Iterator[dict[str, object]]:
    while traceback is not None:
        yield dict(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next


def _describe(result: "CursorResult[object]") -> str:
    context = result.context
    cursor = getattr(context.cursor, "_cursor", None)
    connection = getattr(cursor, "connection", None)
    return "\n".join(
        (
            f"statement: {getattr(context, 'statement', None)}",
            f"rowcount: {getattr(cursor, 'rowcount', None)!r}",
            f"query: {getattr(getattr(cursor, '_query', None), 'query', None)!r}",
            f"connection: {connection!r}",
            f"prepared: {getattr(getattr(connection, '_prepared', None), '_names', None)!r}",
        )
    )
