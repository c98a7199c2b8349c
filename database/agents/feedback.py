"""Repository of the feedback on runs; the caller owns the transaction."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun, RunFeedback


class FeedbackSummary(NamedTuple):
    """The feedback on one version of an agent's prompt; costs are in cents."""

    prompt_version: str
    feedback_count: int
    mean_score: float
    mean_cost_cents: Decimal


class FeedbackRepository:
    """Reads and writes `run_feedback` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(
        self, run: AgentRun, user_id: UUID, score: float, label: str | None, cost_cents: Decimal
    ) -> RunFeedback:
        """Store what a user thinks of a run, in place of what the user thought before."""
        judged = {"score": score, "label": label, "cost_cents": cost_cents}
        statement = (
            insert(RunFeedback)
            .values(
                agent_run_id=run.agent_run_id,
                user_id=user_id,
                agent=run.agent,
                prompt_version=run.prompt_version,
                **judged,
            )
            .on_conflict_do_update(
                index_elements=["agent_run_id", "user_id"],
                set_={**judged, "updated_at": func.now()},
            )
            .returning(RunFeedback)
        )
        rows = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return rows.one()

    async def summaries(self, agent: str) -> Sequence[FeedbackSummary]:
        """Return the feedback on each version of an agent's prompt that has any."""
        statement = (
            select(
                RunFeedback.prompt_version,
                func.count(),
                func.avg(RunFeedback.score),
                func.avg(RunFeedback.cost_cents),
            )
            .where(RunFeedback.agent == agent)
            .group_by(RunFeedback.prompt_version)
            .order_by(func.length(RunFeedback.prompt_version), RunFeedback.prompt_version)
        )
        rows = await self._session.execute(statement)
        return [FeedbackSummary(*row) for row in rows]
