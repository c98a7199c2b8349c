"""All SQL about what was said. Never commits: the caller owns the transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.agent_models import AgentRun, Conversation, Message
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

    async def read_by(self, run: AgentRun, earlier_count: int) -> Sequence[Message]:
        """Return what a run reads: its own messages, and the last ones before it; oldest first."""
        of_run = select(Message).where(Message.agent_run_id == run.agent_run_id)
        own = (await self._session.scalars(of_run.order_by(Message.seq))).all()
        before = (
            select(Message)
            .where(Message.conversation_id == run.conversation_id)
            .where(Message.seq < (own[0].seq if own else 0))
            .order_by(Message.seq.desc())
            .limit(earlier_count)
        )
        earlier = (await self._session.scalars(before)).all()
        return [*reversed(earlier), *own]

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
