"""Base of repositories whose rows belong to a user."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import Select, bindparam, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.base import NOTHING_PARKED
from database.paging import Page, newest_first

Row = TypeVar("Row")


class OwnedRepository(Generic[Row]):
    """Base of repositories that read rows by owner, so that customers see only their own.

    A subclass names its table and may restrict the rows by overriding `_all`.
    """

    table: ClassVar[Any]

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @classmethod
    def _all(cls) -> Select[Row]:
        """Return a statement that selects all readable rows."""
        return select(cast("type[Row]", cls.table))

    @classmethod
    def _key(cls) -> Any:
        [column] = inspect(cls.table).primary_key
        return getattr(cls.table, column.key)

    @classmethod
    @cache
    # Reason: building a statement takes as long as executing it, and these run all the time.
    def _by_key(cls, *, is_owned: bool) -> Select[Row]:
        statement = cls._all().where(cls._key() == bindparam("row_id"))
        if is_owned:
            statement = statement.where(cls.table.user_id == bindparam("owner_id"))
        return statement

    def owned(self, user_id: UUID | None) -> Select[Row]:
        """Return a statement that selects the rows of an owner; None for any owner."""
        statement = self._all()
        return statement if user_id is None else statement.where(self.table.user_id == user_id)

    async def get(self, row_id: UUID, user_id: UUID | None) -> Row | None:
        """Return a row.

        Args:
            row_id: Primary key of the row.
            user_id: Owner of the row; None for any owner.

        Returns:
            The row, or None if there is none for this owner.
        """
        statement = self._by_key(is_owned=user_id is not None)
        owner = {} if user_id is None else {"owner_id": user_id}
        return await self._session.scalar(statement, {"row_id": row_id, **owner})

    async def list(
        self,
        user_id: UUID | None,
        limit: int,
        cursor: str | None,
        filters: Mapping[str, object] | None = None,
        *,
        is_parked: bool | None = None,
    ) -> Page[Row]:
        """Return one page of rows, newest first.

        Args:
            user_id: Owner of the rows; None for any owner.
            limit: Most rows of the page.
            cursor: `next_cursor` of the previous page; None for the first page.
            filters: Required values of columns; a value of None is ignored.
            is_parked: Whether the rows have parked steps; None for both.

        Raises:
            InvalidInputError: The cursor is malformed.
        """
        statement = self.owned(user_id)
        if is_parked is not None:
            parked = self.table.parked_data
            statement = statement.where(
                parked != NOTHING_PARKED if is_parked else parked == NOTHING_PARKED,
            )
        for name, value in (filters or {}).items():
            if value is not None:
                statement = statement.where(getattr(self.table, name) == value)
        sort_key = (self.table.created_at, self._key())
        return await newest_first(self._session, statement, sort_key, limit, cursor)
