"""Repository of messages; the caller owns the transaction."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack
from uuid import UUID, uuid4

from sqlalchemy import Select, bindparam, exists, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.agents.models import AgentRun, Conversation, Message
from domain.llm.messages import Role
from domain.llm.token_estimates import TOKENS_PER_MESSAGE, Unread, estimate_tokens_of_bytes


def _add() -> Select[UUID]:
    """Build the statement that numbers and stores a message, unless its key is stored."""
    is_known = exists().where(Message.message_key == bindparam("message_key"))
    # Reason: SQLAlchemy would take a parameter with a column's name for a value to set.
    is_target = Conversation.conversation_id == bindparam("to_conversation_id")
    numbered = (
        update(Conversation)
        .where(is_target, ~is_known)
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
        Message.output_problem,
        Message.message_key,
    )
    values = [bindparam(column.key, type_=column.type) for column in given]
    row = select(numbered.c.conversation_id, numbered.c.last_message_seq, *values)
    names = ["conversation_id", "seq", *(column.key for column in given)]
    stored = insert(Message).from_select(names, row).returning(Message.message_id)
    return select(stored.cte("stored").c.message_id)


def _read_by() -> Select[Message]:
    """Build the statement that selects a run's messages and the last ones before them."""
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


# Reason: building these statements takes longer than executing them, and every step needs them.
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

_CONTENT_OF = select(Message.content).where(Message.message_key == bindparam("message_key"))
_SEQ_OF = select(Message.seq).where(Message.message_key == bindparam("message_key"))
_LAST_ANSWER = (
    select(Message.content)
    .where(
        Message.agent_run_id == bindparam("agent_run_id"),
        Message.role == Role.ASSISTANT,
        Message.content != "",
    )
    .order_by(Message.seq.desc())
    .limit(1)
)


class OptionalMessageFields(TypedDict, total=False):
    """Fields that only some messages have.

    Args:
        tool_calls: Tool calls that an assistant's message asks for.
        provider_data: Fields that the provider expects back; see `ProviderParts`.
        call_id: Call that a tool's message answers.
        output_problem: Why an answer does not fit its schema.
    """

    tool_calls: Sequence[dict[str, Any]]
    provider_data: dict[str, Any]
    call_id: UUID | None
    output_problem: str | None


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
        **more: Unpack[OptionalMessageFields],
    ) -> bool:
        """Add a message at the end of a conversation, once per key.

        Args:
            conversation_id: Conversation to add to.
            message_key: Unique key of the message.
            role: Author of the message.
            content: Text of the message.
            agent_run_id: Run that the message belongs to.
            more: Fields that only some messages have.

        Returns:
            Whether the message is new.
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
                **{name: more.get(name) for name in ("provider_data", "call_id", "output_problem")},
                "message_key": message_key,
            },
        )
        return stored is not None

    async def renumber_after(self, conversation_id: UUID, after: int, last: int) -> None:
        """Renumber the messages after a number, so that new ones can be added before them.

        Args:
            conversation_id: Conversation, locked by the caller.
            after: Number after which the next message is added.
            last: Current last number of the conversation.
        """
        parameters = {"to_conversation_id": conversation_id}
        # Reason: numbers must be unique after each updated row, so all new ones are above the old.
        await self._session.execute(
            _MOVE_LATER, {**parameters, "after": after, "distance": last - after}
        )
        await self._session.execute(_SET_LAST, {**parameters, "last": after})

    async def end_at(self, conversation_id: UUID, last: int) -> None:
        """Set a conversation's last number after messages were moved."""
        await self._session.execute(
            _SET_LAST, {"to_conversation_id": conversation_id, "last": last}
        )

    async def rewrite(self, message_key: str, content: str) -> None:
        """Replace the text of a message, if it is stored."""
        changed = update(Message).where(Message.message_key == message_key)
        await self._session.execute(changed.values(content=content))

    async def content_of(self, message_key: str) -> str | None:
        """Return the text of a message; None if there is none."""
        return await self._session.scalar(_CONTENT_OF, {"message_key": message_key})

    async def has(self, message_key: str) -> bool:
        """Tell whether a message is stored."""
        known = select(exists().where(Message.message_key == message_key))
        return bool(await self._session.scalar(known))

    async def unread(self, agent_run_id: UUID) -> Unread:
        """Return the size of a run's unread messages: its input and unanswered messages."""
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
            token_count=sum(estimate_tokens_of_bytes(size) + TOKENS_PER_MESSAGE for size in sizes),
        )

    async def last_answer(self, agent_run_id: UUID) -> str | None:
        """Return the last text that the model wrote in a run; None if it wrote none."""
        return await self._session.scalar(_LAST_ANSWER, {"agent_run_id": agent_run_id})

    async def prompt_messages(self, run: AgentRun, earlier_count: int) -> Sequence[Message]:
        """Return a run's own messages and the last ones before them, oldest first."""
        parameters = {
            "agent_run_id": run.agent_run_id,
            "conversation_id": run.conversation_id,
            "earlier_count": earlier_count,
        }
        return (await self._session.scalars(_READ_BY, parameters)).all()

    async def list(
        self,
        conversation_id: UUID,
        after: int,
        limit: int,
    ) -> Sequence[Message]:
        """Return messages with numbers above `after`, oldest first."""
        statement = (
            select(Message)
            .where(Message.conversation_id == conversation_id, Message.seq > after)
            .order_by(Message.seq)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()


async def count_unfit(session: AsyncSession, message_key: str) -> int:
    """Return how many answers of a run, up to this one, do not fit their schema.

    Args:
        session: Database session.
        message_key: Key of an answer; the count is 0 if it fits.
    """
    last = aliased(Message)
    statement = select(func.count()).where(
        last.message_key == message_key,
        last.output_problem.is_not(None),
        Message.agent_run_id == last.agent_run_id,
        Message.output_problem.is_not(None),
        Message.seq <= last.seq,
    )
    return await session.scalar(statement) or 0
