"""Repositories of conversations and of their copies; the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, func, literal, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import Conversation, Message
from database.repository import OwnedRepository

# Reason: building this statement takes longer than executing it, and every step needs it.
_LOCK = (
    select(Conversation.last_message_seq)
    .where(Conversation.conversation_id == bindparam("conversation_id"))
    .with_for_update()
)

_ROOT = select(Conversation.root_conversation_id).where(
    Conversation.conversation_id == bindparam("conversation_id")
)
_PUT = insert(Conversation).on_conflict_do_nothing()


class ConversationRepository(OwnedRepository[Conversation]):
    """Reads and writes `conversations` within one session."""

    table = Conversation

    def owned(self, user_id: UUID | None) -> Select[Conversation]:
        """Return a statement that selects a user's conversations; None for all users'.

        Those of child runs are left out.
        """
        return super().owned(user_id).where(Conversation.is_child.is_(False))

    async def put(self, conversation_id: UUID, user_id: UUID, title: str | None) -> None:
        """Store a conversation, unless it is already stored."""
        values = {"conversation_id": conversation_id, "user_id": user_id, "title": title}
        await self._session.execute(_PUT, values)

    async def put_child(self, conversation_id: UUID, user_id: UUID, parent_id: UUID) -> None:
        """Store the conversation of a child run, unless it is already stored.

        Args:
            conversation_id: Id of the conversation.
            user_id: Its owner.
            parent_id: Conversation of the parent run.
        """
        values = {
            "conversation_id": conversation_id,
            "user_id": user_id,
            "is_child": True,
            "root_conversation_id": await self.root_of(parent_id),
        }
        await self._session.execute(_PUT, values)

    async def put_fork(self, conversation_id: UUID, user_id: UUID, origin_id: UUID) -> None:
        """Store a copy's conversation, with the title of its origin.

        Args:
            conversation_id: Id of the new conversation.
            user_id: Its owner.
            origin_id: Conversation that is copied.
        """
        origin = await self.get(origin_id, None)
        values = {
            "conversation_id": conversation_id,
            "user_id": user_id,
            "title": origin.title if origin else None,
            "root_conversation_id": await self.root_of(origin_id),
        }
        await self._session.execute(_PUT, values)

    async def root_of(self, conversation_id: UUID) -> UUID:
        """Return the conversation whose effects a conversation shares; mostly itself."""
        root = await self._session.scalar(_ROOT, {"conversation_id": conversation_id})
        return root or conversation_id

    async def lock(self, conversation_id: UUID) -> int:
        """Lock a conversation until the transaction ends.

        Returns:
            Number of the last message; 0 if there is none.
        """
        parameters = {"conversation_id": conversation_id}
        return await self._session.scalar(_LOCK, parameters) or 0


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
        kept = ("role", "content", "tool_calls_data", "provider_data", "call_id", "output_problem")
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
        await self._session.execute(plain_insert(Message).from_select(names, chosen))
        last = select(func.coalesce(func.max(Message.seq), 0)).where(
            Message.conversation_id == to_id
        )
        await self._session.execute(
            update(Conversation)
            .where(Conversation.conversation_id == to_id)
            .values(last_message_seq=last.scalar_subquery()),
        )
