"""All SQL about the tickets of streams. Never commits: the caller owns the transaction."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import IdempotencyKey

# Reason: "bound at most once for each triple, in all processes, and forgotten after a while" is
# what `idempotency_keys` is for. The answer is filled in: a used ticket is no open command.
_PATH = "auth/ticket"
_BOUND = 200


class TicketRepository:
    """Reads and writes which stream a ticket opened, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def bind(self, user_id: UUID, ticket_id: UUID, stream_id: UUID) -> None:
        """Bind a ticket to the first stream that it opens; it stays with that one."""
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
        """Tell whether a ticket is bound to this stream, which has not told its end to it."""
        statement = select(IdempotencyKey.resource_id).where(
            *_is(user_id, ticket_id),
            IdempotencyKey.answer_data.is_(None),
        )
        return await self._session.scalar(statement) == stream_id

    async def end(self, user_id: UUID, ticket_id: UUID) -> None:
        """Note that the stream's end was told: the ticket opens nothing more."""
        await self._session.execute(
            update(IdempotencyKey)
            .where(*_is(user_id, ticket_id))
            .values(answer_data={"ended_at": datetime.now(UTC).isoformat()}),
        )


def _is(user_id: UUID, ticket_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.caller_id == user_id,
        IdempotencyKey.path == _PATH,
        IdempotencyKey.key == str(ticket_id),
    )
