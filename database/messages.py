"""All SQL about what was said. Never commits: the caller owns the transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.agent_models import Conversation, Message
from domain.llm import Role


class MessageRepository:
    """Reads and writes `messages` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        conversation_id: UUID,
        message_key: str,
        role: Role,
        content: str,
        *,
        agent_run_id: UUID,
        tool_calls: Sequence[dict[str, Any]] = (),
        call_id: UUID | None = None,
    ) -> bool:
        """Add a message at the end, once per key.

        Returns:
            Whether it is new.
        """
        if await self.has(message_key):
            return False
        number = (
            update(Conversation)
            .where(Conversation.conversation_id == conversation_id)
            .values(last_message_seq=Conversation.last_message_seq + 1)
            .returning(Conversation.last_message_seq)
        )
        statement = insert(Message).values(
            message_id=uuid4(),
            conversation_id=conversation_id,
            agent_run_id=agent_run_id,
            seq=await self._session.scalar(number),
            role=role,
            content=content,
            tool_calls_data=list(tool_calls),
            call_id=call_id,
            message_key=message_key,
        )
        await self._session.execute(statement)
        return True

    async def content_of(self, message_key: str) -> str | None:
        """Return the text of a message; None if there is none."""
        statement = select(Message.content).where(Message.message_key == message_key)
        return await self._session.scalar(statement)

    async def has(self, message_key: str) -> bool:
        """Tell whether a message is stored."""
        known = select(exists().where(Message.message_key == message_key))
        return bool(await self._session.scalar(known))

    async def last_answer(self, agent_run_id: UUID) -> str | None:
        """Return the last text that the model wrote in a run; None if it wrote none."""
        statement = (
            select(Message.content)
            .where(
                Message.agent_run_id == agent_run_id,
                Message.role == Role.ASSISTANT,
                Message.content != "",
            )
            .order_by(Message.seq.desc())
            .limit(1)
        )
        return await self._session.scalar(statement)

    async def latest(self, conversation_id: UUID, limit: int) -> Sequence[Message]:
        """Return the last messages, oldest first."""
        statement = (
            select(Message)
            .where(Message.conversation_id == conversation_id)
            .order_by(Message.seq.desc())
            .limit(limit)
        )
        return list(reversed((await self._session.scalars(statement)).all()))

    async def list(
        self,
        conversation_id: UUID,
        after: int,
        limit: int,
    ) -> Sequence[Message]:
        """Return messages with a number above `after`, oldest first."""
        statement = (
            select(Message)
            .where(Message.conversation_id == conversation_id, Message.seq > after)
            .order_by(Message.seq)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()
