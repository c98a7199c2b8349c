"""The base of repositories whose rows belong to a user."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import Select, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.base import NOTHING_PARKED
from database.paging import Page, newest_first

Row = TypeVar("Row")


class OwnedRepository(Generic[Row]):
    """Reads rows by their owner: the one place where a customer's rows are told from another's.

    A subclass names its table, and may narrow what is selected at all.
    """

    table: ClassVar[Any]

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def _all(self) -> Select[Row]:
        """Select all rows that can be read."""
        return select(cast("type[Row]", self.table))

    @property
    def _key(self) -> Any:
        [column] = inspect(self.table).primary_key
        return getattr(self.table, column.key)

    def owned(self, user_id: UUID | None) -> Select[Row]:
        """Select the rows of an owner; None selects everybody's."""
        statement = self._all()
        return statement if user_id is None else statement.where(self.table.user_id == user_id)

    async def get(self, row_id: UUID, user_id: UUID | None) -> Row | None:
        """Return a row.

        Args:
            row_id: Its primary key.
            user_id: Whose it must be; None for anybody's.

        Returns:
            The row, or None if there is none for this owner.
        """
        return await self._session.scalar(self.owned(user_id).where(self._key == row_id))

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
            user_id: Whose; None lists everybody's.
            limit: Rows at the most.
            cursor: `next_cursor` of the page before; None for the first.
            filters: Columns and the values that they must have; a value of None filters nothing.
            is_parked: Whether the rows have parked steps; None lists both kinds.

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
        order = (self.table.created_at, self._key)
        return await newest_first(self._session, statement, order, limit, cursor)
