"""Repository of idempotency keys of the API; the caller owns the transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import IdempotencyKey


class IdempotencyKeyRepository:
    """Reads and writes `idempotency_keys` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def take(
        self,
        caller_id: UUID,
        path: str,
        key: str,
        body_sha256: str,
        resource_id: UUID,
    ) -> IdempotencyKey:
        """Claim a key, or return its row if it was claimed before.

        Args:
            caller_id: User who sent the POST.
            path: Path of the POST, with its ids filled in.
            key: Idempotency key that the caller gave.
            body_sha256: Digest of the body.
            resource_id: Id of the resource that the POST creates.

        Returns:
            The row of this caller, path and key; another digest in it means that the key was used
            with another body.
        """
        await self._session.execute(
            insert(IdempotencyKey)
            .values(
                caller_id=caller_id,
                path=path,
                key=key,
                body_sha256=body_sha256,
                resource_id=resource_id,
            )
            .on_conflict_do_nothing(),
        )
        found = await self._session.scalars(
            select(IdempotencyKey).where(
                IdempotencyKey.caller_id == caller_id,
                IdempotencyKey.path == path,
                IdempotencyKey.key == key,
            ),
        )
        return found.one()

    async def has_made(self, resource_id: UUID) -> bool:
        """Tell whether a POST with a key was to create a resource with this id."""
        statement = select(IdempotencyKey.idempotency_key_id).where(
            IdempotencyKey.resource_id == resource_id
        )
        return await self._session.scalar(statement.limit(1)) is not None

    async def answer(
        self,
        idempotency_key_id: UUID,
        status_code: int,
        data: dict[str, Any] | None,
    ) -> None:
        """Store the answer to a POST, unless a concurrent request has stored one.

        Args:
            idempotency_key_id: Row of the key.
            status_code: Status code of the answer.
            data: Body of the answer; None if it must not be stored and is computed again.
        """
        await self._session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.idempotency_key_id == idempotency_key_id,
                IdempotencyKey.answer_status_code.is_(None),
            )
            .values(answer_status_code=status_code, answer_data=null() if data is None else data),
        )

    async def forget(self, idempotency_key_id: UUID) -> None:
        """Delete a key that has no answer, so that it can be claimed again."""
        await self._session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.idempotency_key_id == idempotency_key_id,
                IdempotencyKey.answer_status_code.is_(None),
            ),
        )
