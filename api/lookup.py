"""What every route needs before it can begin: the thing asked for, and whom it is for."""

from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from api.deps import Caller
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.errors import InvalidInputError, NotFoundError

Row = TypeVar("Row")


def found(row: Row | None, what: str) -> Row:
    """Return a row, or answer 404: for this caller there is none.

    Raises:
        NotFoundError: There is no row.
    """
    if row is None:
        raise NotFoundError(f"there is no such {what}")
    return row


async def acting_for(sessions: Sessions, caller: Caller, user_id: UUID | None) -> UUID:
    """Return whom a request is for: the caller, or, for administrators, whom they name.

    Raises:
        NotFoundError: There is no such user for this caller.
    """
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if caller.scope is not None:
        raise NotFoundError("there is no such user")
    async with sessions() as session:
        user = await UserRepository(session).get(user_id)
    if user is None or not user.is_active:
        raise NotFoundError("there is no such user")
    return user.user_id


def now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def read_seq(cursor: str | None) -> int:
    """Return the number that a cursor of numbered things stands for; 0 at the beginning.

    Raises:
        InvalidInputError: The cursor is not one of ours.
    """
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidInputError("the cursor is not one of ours", "invalid_cursor")
    return int(cursor)
