"""Long-lived credentials; only their digests are kept."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import ApiKey, User
from database.paging import Page, newest_first
from domain.accounts import digest, shown_prefix


class ApiKeyRepository:
    """Reads and writes API keys; the caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        api_key_id: UUID,
        user_id: UUID,
        name: str,
        api_key: str,
    ) -> tuple[ApiKey, bool]:
        """Keep a new key's digest under this id, unless the id is taken.

        Returns:
            The row of this id, and whether it is the new one.
        """
        written = await self._session.scalars(
            insert(ApiKey)
            .values(
                api_key_id=api_key_id,
                user_id=user_id,
                name=name,
                key_prefix=shown_prefix(api_key),
                key_sha256=digest(api_key),
            )
            .on_conflict_do_nothing(index_elements=[ApiKey.api_key_id])
            .returning(ApiKey),
        )
        if (row := written.one_or_none()) is not None:
            return row, True
        return await self._session.get_one(ApiKey, api_key_id), False

    async def ensure(self, user_id: UUID, name: str, api_key: str) -> None:
        """Keep a key that was chosen elsewhere, unless it is known already."""
        await self._session.execute(
            insert(ApiKey)
            .values(
                user_id=user_id,
                name=name,
                key_prefix=shown_prefix(api_key),
                key_sha256=digest(api_key),
            )
            .on_conflict_do_nothing(index_elements=[ApiKey.key_sha256]),
        )

    async def owner(self, api_key: str) -> tuple[User, UUID] | None:
        """Return the active user of a key that was not revoked, and the key's id; or None.

        The lookup goes by the digest, so its time tells nothing about the key.
        """
        found = await self._session.execute(
            select(User, ApiKey.api_key_id)
            .join(ApiKey, ApiKey.user_id == User.user_id)
            .where(ApiKey.key_sha256 == digest(api_key), ApiKey.revoked_at.is_(None))
            .where(User.is_active),
        )
        row = found.one_or_none()
        return None if row is None else (row[0], row[1])

    async def not_revoked(self, api_key_ids: Collection[UUID | None]) -> set[UUID]:
        """Return those of these keys that are still good."""
        statement = select(ApiKey.api_key_id).where(
            ApiKey.api_key_id.in_(api_key_ids),
            ApiKey.revoked_at.is_(None),
        )
        return set(await self._session.scalars(statement))

    async def list(self, user_id: UUID, limit: int, cursor: str | None) -> Page[ApiKey]:
        """Return a user's keys that were not revoked, newest first."""
        statement = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        place = (ApiKey.created_at, ApiKey.api_key_id)
        return await newest_first(self._session, statement, place, limit, cursor)

    async def revoke(self, api_key_id: UUID, user_id: UUID | None) -> bool:
        """Revoke a key for good; revoking it again is no error.

        Args:
            api_key_id: Which key.
            user_id: Whose key it must be; None for anybody's.

        Returns:
            Whether there is such a key.
        """
        statement = (
            update(ApiKey)
            .where(ApiKey.api_key_id == api_key_id)
            .values(revoked_at=func.coalesce(ApiKey.revoked_at, func.now()))
            .returning(ApiKey.api_key_id)
        )
        if user_id is not None:
            statement = statement.where(ApiKey.user_id == user_id)
        return await self._session.scalar(statement) is not None


async def revoke_all_keys(session: AsyncSession, user_id: UUID) -> None:
    """Revoke every key of a user for good."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now()),
    )
