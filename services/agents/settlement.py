"""Attempts that never told what they used: their worker died, or the stream broke off."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import UsageRecord
from database.agents.run_events import RunEventRepository
from database.agents.usage_records import RESERVED
from domain.llm.messages import TokenUsage
from domain.llm.token_estimates import worst_case
from services.agents.usage import AgentMeans

LOST = "lost"


async def settle_lost(
    session: AsyncSession,
    means: AgentMeans,
    records: Iterable[UsageRecord],
) -> None:
    """Settle those attempts that are open by what their stream has told, within the transaction.

    Args:
        session: The caller's transaction.
        means: Knows the prices.
        records: Attempts of a run; none of them is under way any more.
    """
    for record in records:
        if record.usage_status == RESERVED:
            await means.settle(
                session,
                record.source_key,
                record.model or "",
                await _estimate(session, record),
                outcome=LOST,
                is_estimated=True,
            )


async def _estimate(session: AsyncSession, record: UsageRecord) -> TokenUsage:
    """Guess from above: what came after the last that was told, nobody knows."""
    told = await RunEventRepository(session).told_text(
        record.agent_run_id,
        record.step or 0,
        record.attempt or 0,
    )
    return TokenUsage(
        prompt_tokens=record.reserved_prompt_token_count,
        completion_tokens=max(worst_case(told), record.reserved_completion_token_count),
    )
