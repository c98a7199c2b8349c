"""Repository of API keys, of which only digests are stored."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import ApiKey, User
from database.paging import Page, newest_first
from domain.accounts.credentials import digest, shown_prefix


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
        """Store the digest of a new key under this id, unless the id is taken.

        Returns:
            The row with this id, and whether it is new.
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
        """Store the digest of a given key, unless it is already stored."""
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
        """Return the active user of a key and the key's id; None if the key is not valid.

        The lookup is by digest, so its duration reveals nothing about the key.
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
        """Return the ids of the keys among these that are not revoked."""
        statement = select(ApiKey.api_key_id).where(
            ApiKey.api_key_id.in_(api_key_ids),
            ApiKey.revoked_at.is_(None),
        )
        return set(await self._session.scalars(statement))

    async def list(self, user_id: UUID, limit: int, cursor: str | None) -> Page[ApiKey]:
        """Return one page of a user's keys that are not revoked, newest first."""
        statement = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        sort_key = (ApiKey.created_at, ApiKey.api_key_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def revoke(self, api_key_id: UUID, user_id: UUID | None) -> bool:
        """Revoke a key permanently; revoking it again is no error.

        Args:
            api_key_id: Key to revoke.
            user_id: Owner of the key; None for any owner.

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
    """Revoke all keys of a user permanently."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now()),
    )
