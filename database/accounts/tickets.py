"""Repository of stream tickets; the caller owns the transaction."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import IdempotencyKey

# Reason: a ticket is bound once across all processes and deleted after a while, as rows of
# `idempotency_keys` are. The answer is set, so that a used ticket is not counted as open work.
_PATH = "auth/ticket"
_BOUND = 200


class TicketRepository:
    """Reads and writes the streams to which tickets are bound, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def bind(self, user_id: UUID, ticket_id: UUID, stream_id: UUID) -> None:
        """Bind a ticket to the first stream that it opens; later calls change nothing."""
        statement = insert(IdempotencyKey).values(
            caller_id=user_id,
            path=_PATH,
            key=str(ticket_id),
            body_sha256="",
            resource_id=stream_id,
            answer_status_code=_BOUND,
        )
        await self._session.execute(statement.on_conflict_do_nothing())

    async def is_good_for(self, user_id: UUID, ticket_id: UUID, stream_id: UUID) -> bool:
        """Tell whether a ticket is bound to this stream and not ended."""
        statement = select(IdempotencyKey.resource_id).where(
            *_is_ticket(user_id, ticket_id),
            IdempotencyKey.answer_data.is_(None),
        )
        return await self._session.scalar(statement) == stream_id

    async def end(self, user_id: UUID, ticket_id: UUID) -> None:
        """End a ticket after its stream has ended, so that it opens no stream any more."""
        await self._session.execute(
            update(IdempotencyKey)
            .where(*_is_ticket(user_id, ticket_id))
            .values(answer_data={"ended_at": datetime.now(UTC).isoformat()}),
        )


def _is_ticket(user_id: UUID, ticket_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.caller_id == user_id,
        IdempotencyKey.path == _PATH,
        IdempotencyKey.key == str(ticket_id),
    )
