"""Copies the messages of a conversation; the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import Uuid, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import Conversation, Message


class ForkRepository:
    """Copies messages of one conversation into another within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def seq_of(self, message_key: str) -> int | None:
        """Return the number of a message in its conversation; None if there is none."""
        statement = select(Message.seq).where(Message.message_key == message_key)
        return await self._session.scalar(statement)

    async def copy(self, origin_id: UUID, to_id: UUID, before: int | None) -> None:
        """Copy the messages of a conversation into a new one, where they belong to no run.

        Args:
            origin_id: Conversation to copy from.
            to_id: New conversation, without messages.
            before: Number of the first message that is left out; None to copy all.
        """
        kept = ("role", "content", "tool_calls_data", "provider_data", "call_id")
        key = func.concat(f"fork:{to_id}:", Message.message_key)
        chosen = select(
            func.gen_random_uuid(),
            literal(to_id, Uuid),
            Message.seq,
            key,
            *(getattr(Message, name) for name in kept),
        ).where(Message.conversation_id == origin_id)
        if before is not None:
            chosen = chosen.where(Message.seq < before)
        names = ["message_id", "conversation_id", "seq", "message_key", *kept]
        await self._session.execute(insert(Message).from_select(names, chosen))
        last = select(func.coalesce(func.max(Message.seq), 0)).where(
            Message.conversation_id == to_id
        )
        await self._session.execute(
            update(Conversation)
            .where(Conversation.conversation_id == to_id)
            .values(last_message_seq=last.scalar_subquery()),
        )
