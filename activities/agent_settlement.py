"""Attempts that never told what they used: their worker died, or the stream broke off."""

from sqlalchemy.ext.asyncio import AsyncSession

from activities.agent_means import AgentMeans
from database.agent_models import AgentRun, UsageRecord
from database.run_events import RunEventRepository
from database.usage_records import UsageRepository
from domain.llm import TokenUsage
from domain.tokens import worst_case

LOST = "lost"


async def settle_lost(session: AsyncSession, means: AgentMeans, run: AgentRun) -> None:
    """Settle every open attempt of a run by what its stream has told, within the transaction.

    Args:
        session: The caller's transaction.
        means: Knows the prices.
        run: Whose attempts; none of them is under way any more.
    """
    for record in await UsageRepository(session).open_ones(run.agent_run_id):
        await means.settle(
            session,
            record,
            await _estimate(session, record),
            outcome=LOST,
            is_estimated=True,
        )


async def _estimate(session: AsyncSession, record: UsageRecord) -> TokenUsage:
    """Guess from above, and never above the reservation."""
    told = await RunEventRepository(session).told_text(
        record.agent_run_id,
        record.step or 0,
        record.attempt or 0,
    )
    return TokenUsage(
        prompt_tokens=record.reserved_prompt_token_count,
        completion_tokens=min(worst_case(told), record.reserved_completion_token_count),
    )
