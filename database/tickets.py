"""All SQL about one-use tickets. Never commits: the caller owns the transaction."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import IdempotencyKey

_PATH = "auth/ticket"


async def use_ticket(session: AsyncSession, user_id: UUID, ticket_id: UUID) -> bool:
    """Note that a ticket was used.

    Args:
        session: Where to write; the ticket is used once it commits.
        user_id: Whose ticket it is.
        ticket_id: Which.

    Returns:
        Whether this was its first use.
    """
    # Reason: "at most once for each triple, in all processes, and forgotten after a while" is what
    # `idempotency_keys` is for. The answer is filled in: a used ticket is no open command.
    statement = (
        insert(IdempotencyKey)
        .values(
            caller_id=user_id,
            path=_PATH,
            key=str(ticket_id),
            body_sha256="",
            resource_id=ticket_id,
            answer_status_code=200,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.idempotency_key_id)
    )
    return await session.scalar(statement) is not None
