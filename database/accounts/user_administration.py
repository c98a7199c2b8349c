"""What administrators do with users; the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.accounts.users import ADMIN
from database.paging import Page, newest_first
from domain.errors import ConflictError


class UserAdministration:
    """Lists, deactivates and reactivates users within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(
        self, prefix: str | None, is_active: bool | None, limit: int, cursor: str | None
    ) -> Page[User]:
        """Return one page of users, newest first.

        Args:
            prefix: How their email addresses begin, regardless of case; None for all.
            is_active: Only those who are, or are not, active; None for both.
            limit: Most users of the page.
            cursor: Where the page begins.
        """
        statement = select(User)
        if prefix is not None:
            statement = statement.where(User.email.startswith(prefix.lower(), autoescape=True))
        if is_active is not None:
            statement = statement.where(User.is_active.is_(is_active))
        sort_key = (User.created_at, User.user_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def set_active(self, user_id: UUID, *, is_active: bool) -> User | None:
        """Deactivate or reactivate a user; None if there is no such user.

        Raises:
            ConflictError: The user is the last active administrator (`last_admin`).
        """
        if not is_active:
            await self._keep_an_admin(user_id)
        return await self._session.scalar(
            update(User)
            .where(User.user_id == user_id)
            .values(is_active=is_active)
            .returning(User)
            .execution_options(populate_existing=True)
        )

    async def _keep_an_admin(self, user_id: UUID) -> None:
        # Reason: two administrators who deactivate each other at once wait for each other here.
        statement = select(User.user_id).where(User.role == ADMIN, User.is_active)
        admins = (await self._session.scalars(statement.with_for_update())).all()
        if list(admins) == [user_id]:
            raise ConflictError("this is the last active administrator", "last_admin")
