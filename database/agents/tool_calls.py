"""Repository of tool calls and their approvals; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun, Approval, ToolCall
from domain.agents.approvals import ApprovalStatus


class ToolCallRepository:
    """Reads and writes `tool_calls` and `approvals` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> None:
        """Store a call that a model asked for, unless it is already stored."""
        await self._session.execute(insert(ToolCall).values(**values).on_conflict_do_nothing())

    async def get(self, call_id: UUID) -> ToolCall | None:
        """Return a call, or None."""
        return await self._session.get(ToolCall, call_id)

    async def change(self, call_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a call."""
        await self._session.execute(
            update(ToolCall).where(ToolCall.call_id == call_id).values(**values),
        )

    async def claim(self, call_id: UUID, business_key: str) -> ToolCall | None:
        """Claim an effect that must be unique across runs.

        Returns:
            None if this call has claimed the key; else the call that claimed it before.
        """
        try:
            async with self._session.begin_nested():
                await self.change(call_id, {"business_key": business_key})
        except IntegrityError:
            statement = select(ToolCall).where(ToolCall.business_key == business_key)
            return (await self._session.scalars(statement)).one()
        return None

    async def of_run(self, agent_run_id: UUID) -> Sequence[ToolCall]:
        """Return all calls of a run, in order."""
        statement = (
            select(ToolCall)
            .where(ToolCall.agent_run_id == agent_run_id)
            .order_by(ToolCall.step, ToolCall.position)
        )
        return (await self._session.scalars(statement)).all()

    async def of_step(self, agent_run_id: UUID, step: int) -> Sequence[ToolCall]:
        """Return the calls of one step, in order."""
        return [call for call in await self.of_run(agent_run_id) if call.step == step]

    async def add_approval(self, values: Mapping[str, Any]) -> None:
        """Store the approval that a call waits for, unless it is already stored."""
        await self._session.execute(insert(Approval).values(**values).on_conflict_do_nothing())

    async def approval(self, call_id: UUID, *, is_locked: bool = False) -> Approval | None:
        """Return the approval of a call, optionally locked until the transaction ends."""
        statement = select(Approval).where(Approval.call_id == call_id)
        return await self._session.scalar(
            statement.with_for_update() if is_locked else statement,
        )

    async def approvals(self, agent_run_id: UUID) -> Sequence[Approval]:
        """Return all approvals of a run."""
        statement = select(Approval).where(Approval.agent_run_id == agent_run_id)
        return (await self._session.scalars(statement)).all()

    async def decide(self, call_id: UUID, values: Mapping[str, Any]) -> None:
        """Store the decision about an approval."""
        await self._session.execute(
            update(Approval).where(Approval.call_id == call_id).values(**values),
        )

    async def expire_pending(self, agent_run_id: UUID) -> None:
        """Expire all undecided approvals of a run."""
        await self._session.execute(
            update(Approval)
            .where(
                Approval.agent_run_id == agent_run_id,
                Approval.approval_status == ApprovalStatus.PENDING,
            )
            .values(approval_status=ApprovalStatus.EXPIRED, decided_at=func.now()),
        )

    async def pending_roles(self, agent_run_id: UUID) -> Sequence[str]:
        """Return the roles that the undecided approvals of a run wait for."""
        statement = select(Approval.approver_role).where(
            Approval.agent_run_id == agent_run_id,
            Approval.approval_status == ApprovalStatus.PENDING,
        )
        return (await self._session.scalars(statement)).all()

    async def pending_below(
        self, root_run_ids: Sequence[UUID]
    ) -> Sequence[tuple[UUID, Approval, ToolCall]]:
        """Return the undecided approvals of all runs below these, each with its root's id."""
        statement = (
            select(AgentRun.root_run_id, Approval, ToolCall)
            .join(Approval, Approval.agent_run_id == AgentRun.agent_run_id)
            .join(ToolCall, ToolCall.call_id == Approval.call_id)
            .where(
                AgentRun.root_run_id.in_(root_run_ids),
                Approval.approval_status == ApprovalStatus.PENDING,
            )
            .order_by(Approval.created_at, Approval.call_id)
        )
        rows = (await self._session.execute(statement)).all()
        return [(root, approval, call) for root, approval, call in rows if root is not None]

    async def pending(self, agent_run_ids: Sequence[UUID]) -> Sequence[tuple[Approval, ToolCall]]:
        """Return the undecided approvals of these runs with their calls, oldest first."""
        statement = (
            select(Approval, ToolCall)
            .join(ToolCall, ToolCall.call_id == Approval.call_id)
            .where(
                Approval.agent_run_id.in_(agent_run_ids),
                Approval.approval_status == ApprovalStatus.PENDING,
            )
            .order_by(ToolCall.step, ToolCall.position)
        )
        return [(row[0], row[1]) for row in await self._session.execute(statement)]
