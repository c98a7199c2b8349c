"""Reads runs with their usage, approvals and steps, in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from api.lookup import or_404
from api.schemas.agent_run_steps import ModelCallOut, StepOut, ToolCallOut
from api.schemas.agent_runs import AgentRunOut, PendingApprovalOut
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.usage.amounts import UsageTotal


async def find_agent_run(sessions: Sessions, agent_run_id: UUID, user_id: UUID | None) -> AgentRun:
    """Return a run.

    Args:
        sessions: Database sessions.
        agent_run_id: Id of the run.
        user_id: Only this user's runs are found; None finds all.

    Raises:
        NotFoundError: There is no such run.
    """
    async with sessions() as session:
        row = await AgentRunRepository(session).get(agent_run_id, user_id)
    return or_404(row, "agent run")


async def read_run(sessions: Sessions, row: AgentRun) -> AgentRunOut:
    """Return one run with its usage and pending approvals."""
    return (await read_runs(sessions, [row]))[0]


async def read_runs(sessions: Sessions, rows: Sequence[AgentRun]) -> list[AgentRunOut]:
    """Return runs with their usage and pending approvals."""
    ids = [row.agent_run_id for row in rows]
    pending: defaultdict[UUID, list[PendingApprovalOut]] = defaultdict(list)
    async with sessions() as session:
        totals = await UsageRepository(session).totals(ids)
        for approval, call in await ToolCallRepository(session).pending(ids):
            pending[call.agent_run_id].append(PendingApprovalOut.of(approval, call))
        for root_id, approval, call in await ToolCallRepository(session).pending_below(ids):
            pending[root_id].append(PendingApprovalOut.of(approval, call))
    return [
        AgentRunOut.of(
            row,
            totals.get(row.agent_run_id, UsageTotal()),
            pending[row.agent_run_id],
        )
        for row in rows
    ]


async def read_steps(sessions: Sessions, agent_run_id: UUID) -> list[StepOut]:
    """Return the steps of a run in order, with their model calls and tool calls."""
    async with sessions() as session:
        records = await UsageRepository(session).of_run(agent_run_id)
        ledger = ToolCallRepository(session)
        calls = await ledger.of_run(agent_run_id)
        approvals = {row.call_id: row for row in await ledger.approvals(agent_run_id)}
    model_calls: defaultdict[int, list[ModelCallOut]] = defaultdict(list)
    for record in records:
        if record.step is not None:
            model_calls[record.step].append(ModelCallOut.of(record))
    tool_calls: defaultdict[int, list[ToolCallOut]] = defaultdict(list)
    for call in calls:
        tool_calls[call.step].append(ToolCallOut.of(call, approvals.get(call.call_id)))
    return [
        StepOut(step=step, model_calls=model_calls[step], tool_calls=tool_calls[step])
        for step in sorted({*model_calls, *tool_calls})
    ]
