"""Repository of the memories that are to be stored; the caller owns the transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun, Message
from domain.ids import agent_run_workflow_id


class DueMemory(NamedTuple):
    """A run whose memory is to be stored, and the question that began it."""

    run: AgentRun
    question: str | None


class DueMemoryRepository:
    """Claims and settles the memories of runs within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueMemory]:
        """Claim runs whose memory is due; after the lease they are due again."""
        due = (
            select(AgentRun.agent_run_id)
            .where(AgentRun.memory_due_at <= func.now())
            .order_by(AgentRun.memory_due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(AgentRun)
            .where(AgentRun.agent_run_id.in_(due.scalar_subquery()))
            .values(memory_due_at=func.now() + lease)
            .returning(AgentRun)
            .execution_options(synchronize_session=False)
        )
        runs = (await self._session.scalars(statement)).all()
        keys = {f"{agent_run_workflow_id(run.agent_run_id)}:input": run for run in runs}
        asked = select(Message.message_key, Message.content).where(Message.message_key.in_(keys))
        found = (await self._session.execute(asked)).all() if keys else ()
        questions = {row.message_key: row.content for row in found}
        return [DueMemory(run, questions.get(key)) for key, run in keys.items()]

    async def settle(self, agent_run_ids: Sequence[UUID]) -> None:
        """Note that the memories of these runs are stored, or never will be."""
        statement = update(AgentRun).where(AgentRun.agent_run_id.in_(agent_run_ids))
        await self._session.execute(statement.values(memory_due_at=None))
