"""All SQL about conversations. Never commits: the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from database.agents.models import Conversation
from database.repository import OwnedRepository

# Reason: to put a statement together takes longer than to carry it out, and steps need it.
_LOCK = (
    select(Conversation.last_message_seq)
    .where(Conversation.conversation_id == bindparam("conversation_id"))
    .with_for_update()
)


class ConversationRepository(OwnedRepository[Conversation]):
    """Reads and writes `conversations` within one session."""

    table = Conversation

    async def put(self, conversation_id: UUID, user_id: UUID, title: str | None) -> None:
        """Store a conversation; one that is there stays as it is."""
        statement = insert(Conversation).values(
            conversation_id=conversation_id,
            user_id=user_id,
            title=title,
        )
        await self._session.execute(statement.on_conflict_do_nothing())

    async def lock(self, conversation_id: UUID) -> int:
        """Let nobody else decide about this conversation until the transaction ends.

        Returns:
            The number of its last message; 0 if it has none.
        """
        place = {"conversation_id": conversation_id}
        return await self._session.scalar(_LOCK, place) or 0
