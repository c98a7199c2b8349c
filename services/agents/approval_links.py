"""Opens links in mails about approvals, and checks the decisions that are made by them."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.accounts.users import UserRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.notifications.approval_links import ApprovalLinkRepository
from database.notifications.models import ApprovalLink
from domain.accounts import digest
from domain.agents.approvals import (
    ApprovalCommand,
    approver_required,
    decider_role,
    expired_link,
    may_decide,
)


class OpenedLink(NamedTuple):
    """A link with what it is about.

    Args:
        link: The link.
        user: Its user, to whom the mail was sent.
        approval: The approval that it decides.
        call: Tool call of the approval.
        run: Run of the call.
        asked_by: Owner of the run.
    """

    link: ApprovalLink
    user: User
    approval: Approval
    call: ToolCall
    run: AgentRun
    asked_by: User

    @property
    def role(self) -> str:
        """The role in which the user of the link decides."""
        return _role_of(self.user, self.approval)

    def check_open(self, at: datetime) -> None:
        """Check that the link has not expired, and that its user may still decide.

        Args:
            at: Current time.

        Raises:
            GoneError: The link has expired (`link_expired`).
            ForbiddenError: The user is not active, or may not decide any more.
        """
        if self.link.expires_at <= at:
            raise expired_link()
        role, approval = self.approval.approver_role, self.approval
        is_asked = may_decide(role, approval.delegated_to, self.user.user_id, self.role)
        if not self.user.is_active or not is_asked:
            raise approver_required(role)


async def open_link(session: AsyncSession, token: str) -> OpenedLink | None:
    """Return the link with this token and what it is about, or None if there is none."""
    link = await ApprovalLinkRepository(session).find(digest(token))
    if link is None:
        return None
    approval = await session.get_one(Approval, link.approval_id)
    run = await session.get_one(AgentRun, approval.agent_run_id)
    return OpenedLink(
        link=link,
        user=await session.get_one(User, link.user_id),
        approval=approval,
        call=await session.get_one(ToolCall, approval.call_id),
        run=run,
        asked_by=await session.get_one(User, run.user_id),
    )


async def with_present_role(
    session: AsyncSession, approval: Approval, command: ApprovalCommand
) -> ApprovalCommand:
    """Return a decision with the role that its user has now, if it was made by a link.

    Args:
        session: The deciding transaction.
        approval: The approval.
        command: The decision.

    Raises:
        ForbiddenError: The user is not active any more.
    """
    if command.approval_link_id is None:
        return command
    user = await UserRepository(session).get(command.decided_by)
    if user is None or not user.is_active:
        raise approver_required(approval.approver_role)
    return command.model_copy(update={"role": _role_of(user, approval)})


async def use_link(
    session: AsyncSession, approval_id: UUID, command: ApprovalCommand, at: datetime
) -> None:
    """Use up the link by which a decision was made, if it was made by one.

    Args:
        session: The deciding transaction.
        approval_id: The approval.
        command: The decision.
        at: Time of the decision.

    Raises:
        GoneError: The link is used or expired, or belongs to another approval or user.
    """
    if command.approval_link_id is None:
        return
    is_used = await ApprovalLinkRepository(session).use(
        command.approval_link_id, approval_id, command.args_sha256, command.decided_by, at
    )
    if not is_used:
        raise expired_link()


def _role_of(user: User, approval: Approval) -> str:
    return decider_role(user.user_id, user.role, approval.user_id, approval.approver_role)
