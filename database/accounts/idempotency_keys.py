"""POSTs with an `Idempotency-Key`. Never commits: the caller owns the transaction."""

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
        """Claim a key, or find who claimed it before.

        Args:
            caller_id: Who sent the POST.
            path: Where to, with its ids filled in.
            key: What they called it.
            body_sha256: Fingerprint of the body.
            resource_id: Id of what the POST makes.

        Returns:
            The row of this caller, path and key; another body's fingerprint in it means that
            the key was used for something else.
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

    async def answer(
        self,
        idempotency_key_id: UUID,
        status_code: int,
        data: dict[str, Any] | None,
    ) -> None:
        """Keep the answer to a POST, unless its twin was quicker.

        Args:
            idempotency_key_id: Whose answer.
            status_code: Of the answer.
            data: Its body; None if that must not be stored, and the work is done again.
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
        """Free a key that has no answer."""
        await self._session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.idempotency_key_id == idempotency_key_id,
                IdempotencyKey.answer_status_code.is_(None),
            ),
        )
