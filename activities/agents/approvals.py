"""Writes decisions about approvals; PostgreSQL decides which of several decisions came first."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import (
    ApprovalCommand,
    ApprovalResult,
    ApprovalStatus,
    ExpiryInput,
    args_digest,
    decide_approval,
    status_while_waiting,
    unknown_call,
)
from domain.agents.run_events import NewRunEvent, RunEventKind
from services.agents.approval_links import use_link, with_present_role
from services.agents.approvals import approval_snapshot, edited_arguments
from services.agents.tools.catalog import ToolCatalog


class ApprovalActivities:
    """Records decisions about approvals, and their expiry."""

    def __init__(self, sessions: Sessions, catalog: ToolCatalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    @activity.defn
    async def decide_approval(self, command: ApprovalCommand) -> ApprovalResult:
        """Decide one tool call; the same decision again changes nothing.

        Args:
            command: The decision, the call, the arguments' digest and the person who decides.

        Returns:
            The call's decision.

        Raises:
            ForbiddenError: This person's role may not decide the call.
            ConflictError: Unknown call, other arguments, expired, or decided otherwise.
            GoneError: The link by which this person decides has expired.
            InvalidInputError: The tool does not take the edited arguments.
        """
        async with self._sessions.begin() as session:
            row = await _lock_approval(session, command.agent_run_id, command.call_id)
            call = await ToolCallRepository(session).get(command.call_id)
            if row is None or call is None:
                raise unknown_call()
            snapshot = approval_snapshot(row, call.tool)
            command = await with_present_role(session, row, command)
            at = command.at or datetime.now(UTC)
            status = decide_approval(snapshot, command, at)
            if status is None:
                decided = snapshot.approval_status
                return ApprovalResult(call_id=command.call_id, approval_status=decided)
            await use_link(session, row.approval_id, command, at)
            values: dict[str, Any] = {
                "decided_by": command.decided_by,
                "decided_via": command.decided_via,
                "reason": command.reason,
            }
            if command.arguments is not None:
                values |= await self._edit(session, row, call, command.arguments)
            await _close(session, row, status, values)
            return ApprovalResult(call_id=command.call_id, approval_status=status)

    @activity.defn
    async def expire_approval(self, expiry: ExpiryInput) -> ApprovalResult:
        """Expire an approval whose time is over, unless it is decided already.

        Args:
            expiry: The call whose approval expires.

        Returns:
            The call's decision.
        """
        async with self._sessions.begin() as session:
            row = await _lock_approval(session, expiry.agent_run_id, expiry.call_id)
            if row is None:
                return ApprovalResult(
                    call_id=expiry.call_id, approval_status=ApprovalStatus.EXPIRED
                )
            status = ApprovalStatus(row.approval_status)
            if status is ApprovalStatus.PENDING:
                status = ApprovalStatus.EXPIRED
                await _close(session, row, status, {})
            return ApprovalResult(call_id=expiry.call_id, approval_status=status)

    async def _edit(
        self, session: AsyncSession, row: Approval, call: ToolCall, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Give a call the arguments that a person wants, and return what changes in its approval.

        Raises:
            InvalidInputError: The tool does not take such arguments.
        """
        tool = self._catalog.find(call.tool)
        edited = edited_arguments(tool, arguments)
        digest = args_digest(call.tool, edited)
        run = await session.get_one(AgentRun, row.agent_run_id)
        effect = await tool.preview(session, run, edited) if tool.preview else None
        asked = call.arguments_data
        await ToolCallRepository(session).change(
            call.call_id, {"arguments_data": edited, "args_sha256": digest}
        )
        return {"args_sha256": digest, "asked_arguments_data": asked, "effect_data": effect}


async def _lock_approval(
    session: AsyncSession, agent_run_id: UUID, call_id: UUID
) -> Approval | None:
    """Lock a run and return an approval of it, so that its approvals are decided one by one."""
    # Reason: else two concurrent transactions would each see the other's approval as pending.
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
    if "decided_via" in values:
        facts["decided_via"] = values["decided_via"]
    if "args_sha256" in values:
        facts["args_sha256"] = values["args_sha256"]
    events = [NewRunEvent(kind=RunEventKind.APPROVAL_DECIDED, data=facts)]
    left = await calls.pending_roles(row.agent_run_id)
    run_status = status_while_waiting(left)
    if run_status is not status_while_waiting((*left, row.approver_role)):
        changed = {"run_status": run_status}
        await AgentRunRepository(session).change(row.agent_run_id, changed)
        events.append(NewRunEvent(kind=RunEventKind.STATUS, data=changed))
    await RunEventRepository(session).append(row.agent_run_id, events)
