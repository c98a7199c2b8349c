"""Helpers of routes: the row that is asked for, the user it is for, the time and cursors."""

from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from api.deps import Caller
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.errors import InvalidInputError, NotFoundError

Row = TypeVar("Row")


def or_404(row: Row | None, what: str) -> Row:
    """Return a row, or answer 404 if the caller has no such row.

    Raises:
        NotFoundError: There is no row.
    """
    if row is None:
        raise NotFoundError(f"there is no such {what}")
    return row


async def resolve_user_id(sessions: Sessions, caller: Caller, user_id: UUID | None) -> UUID:
    """Return the user whom a request is for: the caller, or the user an administrator names.

    Raises:
        NotFoundError: The user is not active, or not visible to the caller.
    """
    owner_id = visible_user_id(caller, user_id)
    if owner_id == caller.user_id:
        return owner_id
    async with sessions() as session:
        user = await UserRepository(session).get(owner_id)
    if user is None or not user.is_active:
        raise NotFoundError("there is no such user")
    return user.user_id


def visible_user_id(caller: Caller, user_id: UUID | None) -> UUID:
    """Return the user whom a read is for; the read itself finds out whether there is such a user.

    Raises:
        NotFoundError: The user is not visible to the caller.
    """
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if caller.scope is not None:
        raise NotFoundError("there is no such user")
    return user_id


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def read_seq(cursor: str | None) -> int:
    """Return the sequence number in a cursor; 0 without a cursor.

    Raises:
        InvalidInputError: The cursor is malformed.
    """
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidInputError("the cursor is not valid", "invalid_cursor")
    return int(cursor)
