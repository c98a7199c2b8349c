"""All SQL about conversations. Never commits: the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import Conversation
from database.paging import Page, newest_first

# Reason: to put a statement together takes longer than to carry it out, and steps need it.
_LOCK = (
    select(Conversation.last_message_seq)
    .where(Conversation.conversation_id == bindparam("conversation_id"))
    .with_for_update()
)


class ConversationRepository:
    """Reads and writes `conversations` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, conversation_id: UUID, user_id: UUID, title: str | None) -> None:
        """Store a conversation; one that is there stays as it is."""
        statement = insert(Conversation).values(
            conversation_id=conversation_id,
            user_id=user_id,
            title=title,
        )
        await self._session.execute(statement.on_conflict_do_nothing())

    async def get(self, conversation_id: UUID, user_id: UUID | None) -> Conversation | None:
        """Return a conversation of this owner; None for anybody's."""
        statement = select(Conversation).where(Conversation.conversation_id == conversation_id)
        if user_id is not None:
            statement = statement.where(Conversation.user_id == user_id)
        return await self._session.scalar(statement)

    async def lock(self, conversation_id: UUID) -> int:
        """Let nobody else decide about this conversation until the transaction ends.

        Returns:
            The number of its last message; 0 if it has none.
        """
        place = {"conversation_id": conversation_id}
        return await self._session.scalar(_LOCK, place) or 0

    async def list(
        self,
        user_id: UUID | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Conversation]:
        """Return one page of conversations, newest first; None is anybody's."""
        statement = select(Conversation)
        if user_id is not None:
            statement = statement.where(Conversation.user_id == user_id)
        place = (Conversation.created_at, Conversation.conversation_id)
        return await newest_first(self._session, statement, place, limit, cursor)
