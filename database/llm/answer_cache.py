"""Repository of cached answers of models; the caller owns the transaction."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.llm.models import CachedAnswer


class AnswerCacheRepository:
    """Reads and writes `llm_cache` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, user_id: UUID, request_sha256: str) -> dict[str, Any] | None:
        """Return the answer to a user's request; None if there is none, or it has expired."""
        statement = select(CachedAnswer.reply_data).where(
            CachedAnswer.user_id == user_id,
            CachedAnswer.request_sha256 == request_sha256,
            CachedAnswer.expires_at > func.now(),
        )
        return await self._session.scalar(statement)

    async def put(
        self,
        user_id: UUID,
        request_sha256: str,
        model: str,
        reply_data: Mapping[str, Any],
        ttl: timedelta,
    ) -> None:
        """Store the answer to a user's request in place of an earlier one."""
        values = {
            "model": model,
            "reply_data": dict(reply_data),
            "created_at": func.now(),
            "expires_at": func.now() + ttl,
        }
        statement = insert(CachedAnswer).values(
            user_id=user_id, request_sha256=request_sha256, **values
        )
        key = [CachedAnswer.user_id, CachedAnswer.request_sha256]
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=key, set_=values)
        )

    async def prune(self, limit: int) -> int:
        """Delete answers that have expired, and return their number."""
        key = CachedAnswer.cached_answer_id
        expired = select(key).where(CachedAnswer.expires_at <= func.now()).limit(limit)
        statement = (
            delete(CachedAnswer)
            .where(key.in_(expired.scalar_subquery()))
            .returning(key)
            .execution_options(synchronize_session=False)
        )
        return len((await self._session.scalars(statement)).all())
