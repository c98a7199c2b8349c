"""Counts the answers of runs that do not fit the schema of their agent."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.agents.models import Message


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
