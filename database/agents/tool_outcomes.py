"""Repository of tool calls at outside systems; the caller owns the transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.agents.models import AgentRun, Conversation, ToolCall
from database.paging import Page, newest_first
from domain.agents.tools.tool_calls import ToolCallStatus

_OPEN = (ToolCallStatus.STARTED, ToolCallStatus.OUTCOME_UNKNOWN)


class ToolOutcomeRepository:
    """Reads and writes the outcomes of `tool_calls` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def start(self, call_id: UUID) -> bool:
        """Record that the request of a call is about to be sent.

        Returns:
            False if it may have been sent before.
        """
        return await self._change(call_id, ToolCallStatus.REQUESTED, ToolCallStatus.STARTED)

    async def take_back(self, call_id: UUID) -> None:
        """Record that the request of a call was not sent."""
        await self._change(call_id, ToolCallStatus.STARTED, ToolCallStatus.REQUESTED)

    async def give_up(self, agent_run_id: UUID) -> None:
        """Record that the outcomes of calls that a closed run has started are unknown."""
        await self._session.execute(
            update(ToolCall)
            .where(
                ToolCall.agent_run_id == agent_run_id,
                ToolCall.tool_call_status == ToolCallStatus.STARTED,
            )
            .values(tool_call_status=ToolCallStatus.OUTCOME_UNKNOWN)
        )

    async def find_open(self, conversation_id: UUID, call: ToolCall) -> ToolCall | None:
        """Return another call of the same tool in a conversation whose outcome is unknown.

        Conversations that share their effects, such as forks and those of a team, count as one.
        """
        own = aliased(Conversation)
        own_root = (
            select(func.coalesce(own.root_conversation_id, own.conversation_id))
            .where(own.conversation_id == conversation_id)
            .scalar_subquery()
        )
        root = func.coalesce(Conversation.root_conversation_id, Conversation.conversation_id)
        sharing = select(Conversation.conversation_id).where(root == own_root)
        statement = (
            select(ToolCall)
            .join(AgentRun, AgentRun.agent_run_id == ToolCall.agent_run_id)
            .where(
                AgentRun.conversation_id.in_(sharing),
                ToolCall.tool == call.tool,
                ToolCall.call_id != call.call_id,
                ToolCall.tool_call_status.in_(_OPEN),
            )
            .limit(1)
        )
        return await self._session.scalar(statement)

    async def get_locked(self, call_id: UUID) -> ToolCall | None:
        """Return a call, locked until the transaction ends, or None."""
        statement = select(ToolCall).where(ToolCall.call_id == call_id).with_for_update()
        return await self._session.scalar(statement)

    async def list_unknown(self, limit: int, cursor: str | None) -> Page[ToolCall]:
        """Return one page of calls whose outcome is unknown, newest first.

        Raises:
            InvalidInputError: The cursor is malformed.
        """
        statement = select(ToolCall).where(
            ToolCall.tool_call_status == ToolCallStatus.OUTCOME_UNKNOWN
        )
        sort_key: Any = (ToolCall.created_at, ToolCall.call_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def count_unknown(self) -> int:
        """Return how many calls have an unknown outcome."""
        statement = select(func.count()).where(
            ToolCall.tool_call_status == ToolCallStatus.OUTCOME_UNKNOWN
        )
        return await self._session.scalar(statement) or 0

    async def _change(self, call_id: UUID, old: ToolCallStatus, new: ToolCallStatus) -> bool:
        statement = (
            update(ToolCall)
            .where(ToolCall.call_id == call_id, ToolCall.tool_call_status == old)
            .values(tool_call_status=new)
            .returning(ToolCall.call_id)
        )
        return await self._session.scalar(statement) is not None
