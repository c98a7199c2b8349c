"""Repository of approvals, as people find them in their inbox; the caller owns the transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, or_, select, update

from database.agents.models import Approval, ToolCall
from database.repository import OwnedRepository
from domain.agents.approvals import ApprovalStatus


class ApprovalRepository(OwnedRepository[Approval]):
    """Reads `approvals` of a user: of the user's runs, and those that are delegated to the user."""

    table = Approval

    def owned(self, user_id: UUID | None) -> Select[Approval]:
        """Return a statement that selects the approvals of a user; None for all."""
        statement = self._all()
        if user_id is None:
            return statement
        return statement.where(or_(Approval.user_id == user_id, Approval.delegated_to == user_id))

    async def find(self, approval_id: UUID, user_id: UUID | None) -> Approval | None:
        """Return an approval, or None if there is none for this user."""
        return await self._session.scalar(
            self.owned(user_id).where(Approval.approval_id == approval_id)
        )

    async def calls(self, approvals: Sequence[Approval]) -> dict[UUID, ToolCall]:
        """Return the calls of approvals, by their ids."""
        ids = [each.call_id for each in approvals]
        found = await self._session.scalars(select(ToolCall).where(ToolCall.call_id.in_(ids)))
        return {call.call_id: call for call in found}

    async def delegate(self, approval_id: UUID, user_id: UUID) -> bool:
        """Let a user decide an approval, and return whether it still waited."""
        statement = (
            update(Approval)
            .where(
                Approval.approval_id == approval_id,
                Approval.approval_status == ApprovalStatus.PENDING,
            )
            .values(delegated_to=user_id)
            .returning(Approval.approval_id)
        )
        return await self._session.scalar(statement) is not None

    async def is_delegated(self, agent_run_id: UUID, user_id: UUID) -> bool:
        """Tell whether an approval of a run is delegated to a user."""
        statement = select(Approval.approval_id).where(
            Approval.agent_run_id == agent_run_id, Approval.delegated_to == user_id
        )
        return await self._session.scalar(statement.limit(1)) is not None
