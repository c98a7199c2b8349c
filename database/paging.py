"""Keyset pagination, newest rows first."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from domain.errors import InvalidInputError

Row = TypeVar("Row")


class Page(NamedTuple, Generic[Row]):
    """One page of rows, and the cursor of the next page; None on the last page."""

    items: Sequence[Row]
    next_cursor: str | None


def encode_cursor(at: datetime, row_id: UUID) -> str:
    """Encode a row's sort key as an opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(row_id)]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Decode the sort key in a cursor.

    Raises:
        InvalidInputError: The cursor was not made by `encode_cursor`.
    """
    try:
        return _read_sort_key(json.loads(base64.urlsafe_b64decode(cursor.encode())))
    # Reason: converting a time near the limits of `datetime` to UTC overflows.
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidInputError("the cursor is not valid", "invalid_cursor") from error


def _read_sort_key(parts: Any) -> tuple[datetime, UUID]:
    """Return the sort key from the decoded JSON of a cursor.

    Raises:
        ValueError: The JSON is not a sort key.
        OverflowError: The time is beyond the limits of `datetime`.
    """
    match parts:
        case [str() as at, str() as row_id] if (parsed := datetime.fromisoformat(at)).tzinfo:
            return parsed.astimezone(UTC), UUID(row_id)
    raise ValueError("a time with its zone and an id are needed")


async def newest_first(
    session: AsyncSession,
    statement: Select[Row],
    sort_key: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[UUID]],
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """Return one page of rows, newest first.

    Args:
        session: Database session.
        statement: Selects the rows to list, filtered and not ordered.
        sort_key: Columns that order the rows: a time, and the primary key.
        limit: Most rows of the page.
        cursor: `next_cursor` of the previous page; None for the first page.

    Returns:
        The rows and the next cursor.

    Raises:
        InvalidInputError: The cursor is malformed.
    """
    at, row_id = sort_key
    if cursor is not None:
        statement = statement.where(tuple_(at, row_id) < tuple_(*decode_cursor(cursor)))
    statement = statement.order_by(at.desc(), row_id.desc()).limit(limit + 1)
    rows: Sequence[Any] = (await session.scalars(statement)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode_cursor(getattr(last, at.key), getattr(last, row_id.key)))
