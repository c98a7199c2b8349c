"""Repository of conversations; the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from database.agents.models import Conversation
from database.repository import OwnedRepository

# Reason: building this statement takes longer than executing it, and every step needs it.
_LOCK = (
    select(Conversation.last_message_seq)
    .where(Conversation.conversation_id == bindparam("conversation_id"))
    .with_for_update()
)

_PUT = insert(Conversation).on_conflict_do_nothing()


class ConversationRepository(OwnedRepository[Conversation]):
    """Reads and writes `conversations` within one session."""

    table = Conversation

    async def put(self, conversation_id: UUID, user_id: UUID, title: str | None) -> None:
        """Store a conversation, unless it is already stored."""
        values = {"conversation_id": conversation_id, "user_id": user_id, "title": title}
        await self._session.execute(_PUT, values)

    async def lock(self, conversation_id: UUID) -> int:
        """Lock a conversation until the transaction ends.

        Returns:
            Number of the last message; 0 if there is none.
        """
        parameters = {"conversation_id": conversation_id}
        return await self._session.scalar(_LOCK, parameters) or 0
