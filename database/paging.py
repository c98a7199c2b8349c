"""Keyset pages: as quick on the thousandth page as on the first."""

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
    """Some rows, and where the next ones begin; None at the end."""

    items: Sequence[Row]
    next_cursor: str | None


def encode_cursor(at: datetime, row_id: UUID) -> str:
    """Pack a row's place into an opaque text."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(row_id)]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Unpack a row's place.

    Raises:
        InvalidInputError: The text did not come from `encode_cursor`.
    """
    try:
        return _read_place(json.loads(base64.urlsafe_b64decode(cursor.encode())))
    # Reason: a moment at the calendar's edge has no counterpart in UTC, which is an overflow.
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidInputError("the cursor is not one of ours", "invalid_cursor") from error


def _read_place(parts: Any) -> tuple[datetime, UUID]:
    """Return a place from what a cursor holds.

    Raises:
        ValueError: It holds something else.
        OverflowError: The moment is beyond the calendar.
    """
    match parts:
        case [str() as at, str() as row_id] if (moment := datetime.fromisoformat(at)).tzinfo:
            return moment.astimezone(UTC), UUID(row_id)
    raise ValueError("a moment with its zone, and an id, are needed")


async def newest_first(
    session: AsyncSession,
    statement: Select[Row],
    place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[UUID]],
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """Return one page, newest first.

    Args:
        session: Where to read.
        statement: What to list, filtered and not ordered.
        place: The columns that order the rows: a time, and the primary key.
        limit: Rows at the most.
        cursor: `next_cursor` of the page before; None for the first.

    Returns:
        The rows and the next cursor.

    Raises:
        InvalidInputError: The cursor is malformed.
    """
    at, row_id = place
    if cursor is not None:
        statement = statement.where(tuple_(at, row_id) < tuple_(*decode_cursor(cursor)))
    statement = statement.order_by(at.desc(), row_id.desc()).limit(limit + 1)
    rows: Sequence[Any] = (await session.scalars(statement)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode_cursor(getattr(last, at.key), getattr(last, row_id.key)))
