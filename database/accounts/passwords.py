"""Repository of passwords, and of links by which they are set anew; the caller commits."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import PasswordReset, User


class PasswordRepository:
    """Writes the passwords of users, and reads and writes `password_resets`, in one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def set(self, user_id: UUID, password_hash: str) -> None:
        """Store the hash of a user's password."""
        await self._session.execute(
            update(User).where(User.user_id == user_id).values(password_hash=password_hash),
        )

    async def add_link(self, user_id: UUID, token_sha256: str, expires_at: datetime) -> None:
        """Store a new link of a user."""
        self._session.add(
            PasswordReset(user_id=user_id, token_sha256=token_sha256, expires_at=expires_at)
        )
        await self._session.flush()

    async def owner(self, token_sha256: str, at: datetime) -> User | None:
        """Return the active user of a link that can still be used, or None."""
        statement = (
            select(User)
            .join(PasswordReset, PasswordReset.user_id == User.user_id)
            .where(
                PasswordReset.token_sha256 == token_sha256,
                PasswordReset.used_at.is_(None),
                PasswordReset.expires_at > at,
                User.is_active,
            )
        )
        return await self._session.scalar(statement)

    async def use(self, token_sha256: str, at: datetime) -> UUID | None:
        """Use up a link and all others of its user; return the user, or None if it was used."""
        used = (
            update(PasswordReset)
            .where(
                PasswordReset.token_sha256 == token_sha256,
                PasswordReset.used_at.is_(None),
                PasswordReset.expires_at > at,
            )
            .values(used_at=at)
            .returning(PasswordReset.user_id)
        )
        user_id = await self._session.scalar(used)
        if user_id is not None:
            await self._session.execute(
                update(PasswordReset)
                .where(PasswordReset.user_id == user_id, PasswordReset.used_at.is_(None))
                .values(used_at=at)
            )
        return user_id

    async def delete_old(self, older_than: timedelta) -> None:
        """Delete links that expired long ago."""
        await self._session.execute(
            delete(PasswordReset).where(PasswordReset.expires_at < func.now() - older_than)
        )
