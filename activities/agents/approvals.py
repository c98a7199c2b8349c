"""The durable side of approvals: PostgreSQL decides which of several answers came first."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.models import Approval
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import (
    ApprovalCommand,
    ApprovalResult,
    ApprovalStatus,
    ExpiryInput,
    decide,
)
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import RunStatus
from services.agents.approvals import approval_snapshot


class ApprovalActivities:
    """Writes down what people decide, and what nobody decided."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def decide_approval(self, command: ApprovalCommand) -> ApprovalResult:
        """Decide one call; the same decision again changes nothing.

        Args:
            command: Who says what about which arguments.

        Returns:
            How it is decided.

        Raises:
            ForbiddenError: Somebody else has to decide.
            ConflictError: Unknown call, other arguments, expired, or decided otherwise.
        """
        async with self._sessions.begin() as session:
            row = await _locked(session, command.agent_run_id, command.call_id)
            seen = None if row is None else approval_snapshot(row)
            status = decide(seen, command, command.at or datetime.now(UTC))
            if row is None or status is None:
                decided = seen.approval_status if seen else ApprovalStatus.PENDING
                return ApprovalResult(call_id=command.call_id, approval_status=decided)
            values = {"decided_by": command.decided_by, "reason": command.reason}
            await _close(session, row, status, values)
            return ApprovalResult(call_id=command.call_id, approval_status=status)

    @activity.defn
    async def expire_approval(self, order: ExpiryInput) -> ApprovalResult:
        """End an approval whose time is over, unless somebody was quicker.

        Args:
            order: Which call.

        Returns:
            How it is decided.
        """
        async with self._sessions.begin() as session:
            row = await _locked(session, order.agent_run_id, order.call_id)
            if row is None:
                return ApprovalResult(call_id=order.call_id, approval_status=ApprovalStatus.EXPIRED)
            status = ApprovalStatus(row.approval_status)
            if status is ApprovalStatus.PENDING:
                status = ApprovalStatus.EXPIRED
                await _close(session, row, status, {})
            return ApprovalResult(call_id=order.call_id, approval_status=status)


async def _locked(session: AsyncSession, agent_run_id: UUID, call_id: UUID) -> Approval | None:
    """Return an approval of a run; of several at once, one is decided after the other."""
    # Reason: each of two transactions would still see the other's approval as pending.
    await AgentRunRepository(session).lock(agent_run_id)
    row = await ToolCallRepository(session).approval(call_id, is_locked=True)
    return row if row is not None and row.agent_run_id == agent_run_id else None


async def _close(
    session: AsyncSession,
    row: Approval,
    status: ApprovalStatus,
    values: Mapping[str, object],
) -> None:
    calls = ToolCallRepository(session)
    await calls.decide(
        row.call_id,
        {"approval_status": status, "decided_at": datetime.now(UTC), **values},
    )
    reason = values.get("reason")
    facts = {"call_id": str(row.call_id), "decision": status, "reason": reason}
    notes = [NewRunEvent(kind=RunEventKind.APPROVAL_DECIDED, data=facts)]
    if not await calls.pending_count(row.agent_run_id):
        running = {"run_status": RunStatus.RUNNING}
        await AgentRunRepository(session).change(row.agent_run_id, running)
        notes.append(NewRunEvent(kind=RunEventKind.STATUS, data=running))
    await RunEventRepository(session).append(row.agent_run_id, notes)
