"""All SQL about what was said. Never commits: the caller owns the transaction."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack
from uuid import UUID, uuid4

from sqlalchemy import Select, bindparam, exists, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.agents.models import AgentRun, Conversation, Message
from domain.llm.messages import Role
from domain.llm.token_estimates import TOKENS_PER_MESSAGE, Unread, tokens_of_bytes


def _add() -> Select[UUID]:
    """Take the conversation's next number and store a message, unless its key is there."""
    is_known = exists().where(Message.message_key == bindparam("message_key"))
    # Reason: a parameter of a column's name would be taken for what the update sets.
    wanted = Conversation.conversation_id == bindparam("to_conversation_id")
    numbered = (
        update(Conversation)
        .where(wanted, ~is_known)
        .values(last_message_seq=Conversation.last_message_seq + 1)
        .returning(Conversation.conversation_id, Conversation.last_message_seq)
        .cte("numbered")
    )
    given = (
        Message.message_id,
        Message.agent_run_id,
        Message.role,
        Message.content,
        Message.tool_calls_data,
        Message.provider_data,
        Message.call_id,
        Message.message_key,
    )
    values = [bindparam(column.key, type_=column.type) for column in given]
    row = select(numbered.c.conversation_id, numbered.c.last_message_seq, *values)
    names = ["conversation_id", "seq", *(column.key for column in given)]
    stored = insert(Message).from_select(names, row).returning(Message.message_id)
    return select(stored.cte("stored").c.message_id)


def _read_by() -> Select[Message]:
    """Select a run's own messages, and the last ones of its conversation before them."""
    own = select(Message).where(Message.agent_run_id == bindparam("agent_run_id"))
    first = (
        select(func.min(Message.seq))
        .where(Message.agent_run_id == bindparam("agent_run_id"))
        .scalar_subquery()
    )
    earlier = (
        select(Message)
        .where(Message.conversation_id == bindparam("conversation_id"), Message.seq < first)
        .order_by(Message.seq.desc())
        .limit(bindparam("earlier_count"))
    )
    found = aliased(Message, union_all(own, earlier).subquery())
    return select(found).order_by(found.seq)


# Reason: to put a statement together takes longer than to carry it out, and steps need these.
_ADD = _add()
_READ_BY = _read_by()


_MOVE_LATER = (
    update(Message)
    .where(
        Message.conversation_id == bindparam("to_conversation_id"),
        Message.seq > bindparam("after"),
    )
    .values(seq=Message.seq + bindparam("distance"))
    .execution_options(synchronize_session=False)
)
_SET_LAST = (
    update(Conversation)
    .where(Conversation.conversation_id == bindparam("to_conversation_id"))
    .values(last_message_seq=bindparam("last"))
    .execution_options(synchronize_session=False)
)


class MoreOfMessage(TypedDict, total=False):
    """What only some messages have.

    Args:
        tool_calls: What an assistant's message asks for.
        provider_data: What the provider wants back with it; see `ProviderParts`.
        call_id: Which call a tool's message answers.
    """

    tool_calls: Sequence[dict[str, Any]]
    provider_data: dict[str, Any]
    call_id: UUID | None


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
        **more: Unpack[MoreOfMessage],
    ) -> bool:
        """Add a message at the end, once per key.

        Args:
            conversation_id: Of which conversation.
            message_key: Makes storing it twice one row.
            role: Who speaks.
            content: What was said.
            agent_run_id: In which run.
            more: What only some messages have.

        Returns:
            Whether it is new.
        """
        stored = await self._session.scalar(
            _ADD,
            {
                "message_id": uuid4(),
                "to_conversation_id": conversation_id,
                "agent_run_id": agent_run_id,
                "role": role,
                "content": content,
                "tool_calls_data": list(more.get("tool_calls", ())),
                "provider_data": more.get("provider_data"),
                "call_id": more.get("call_id"),
                "message_key": message_key,
            },
        )
        return stored is not None

    async def move_later(self, conversation_id: UUID, after: int, last: int) -> None:
        """Make room behind a message: what follows it keeps its order and gets higher numbers.

        Args:
            conversation_id: Where, locked by the caller.
            after: The next message that is added gets the number that follows this one.
            last: The conversation's last number as it is.
        """
        place = {"to_conversation_id": conversation_id}
        # Reason: the numbers are unique, row by row, so the new ones lie above all old ones.
        await self._session.execute(
            _MOVE_LATER, {**place, "after": after, "distance": last - after}
        )
        await self._session.execute(_SET_LAST, {**place, "last": after})

    async def end_at(self, conversation_id: UUID, last: int) -> None:
        """Set a conversation's last number after messages were moved."""
        await self._session.execute(
            _SET_LAST, {"to_conversation_id": conversation_id, "last": last}
        )

    async def content_of(self, message_key: str) -> str | None:
        """Return the text of a message; None if there is none."""
        statement = select(Message.content).where(Message.message_key == message_key)
        return await self._session.scalar(statement)

    async def has(self, message_key: str) -> bool:
        """Tell whether a message is stored."""
        known = select(exists().where(Message.message_key == message_key))
        return bool(await self._session.scalar(known))

    async def unread(self, agent_run_id: UUID) -> Unread:
        """Return how much a run's model has to read next: its input, and what is not answered."""
        own = (Message.agent_run_id == agent_run_id, Message.role == Role.USER)
        answered = select(func.max(Message.seq)).where(
            Message.agent_run_id == agent_run_id,
            Message.role == Role.ASSISTANT,
        )
        first = select(func.min(Message.seq)).where(*own).scalar_subquery()
        is_next = (Message.seq > func.coalesce(answered.scalar_subquery(), 0)) | (
            Message.seq == first
        )
        statement = select(func.octet_length(Message.content)).where(*own, is_next)
        sizes = (await self._session.scalars(statement)).all()
        return Unread(
            message_count=len(sizes),
            token_count=sum(tokens_of_bytes(size) + TOKENS_PER_MESSAGE for size in sizes),
        )

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
        place = {
            "agent_run_id": run.agent_run_id,
            "conversation_id": run.conversation_id,
            "earlier_count": earlier_count,
        }
        return (await self._session.scalars(_READ_BY, place)).all()

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
