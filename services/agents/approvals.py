"""Prepares decisions about approvals: snapshots, edited arguments, and mails to who may decide."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.users import ADMIN, UserRepository
from database.agents.models import Approval
from database.agents.tool_calls import ToolCallRepository
from database.notifications.due_mails import add_due_mail, add_due_mails
from domain.agents.approvals import (
    ApprovalSnapshot,
    ApprovalStatus,
)
from domain.errors import InvalidInputError
from domain.notifications import MailKind, NewMail
from services.agents.tool_call_ledger import describe
from services.agents.tools.catalog import Tool


def approval_snapshot(row: Approval, tool: str) -> ApprovalSnapshot:
    """Return the snapshot of an approval's row.

    Args:
        row: The approval.
        tool: Tool of its call.
    """
    return ApprovalSnapshot(
        tool=tool,
        approval_status=ApprovalStatus(row.approval_status),
        args_sha256=row.args_sha256,
        approver_role=row.approver_role,
        delegated_to=row.delegated_to,
        expires_at=row.expires_at,
    )


def edited_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a person has edited, as the tool takes them.

    Raises:
        InvalidInputError: The tool does not take such arguments.
    """
    try:
        return tool.spec.arguments.model_validate(arguments).model_dump(mode="json")
    except ValidationError as error:
        raise InvalidInputError(describe(error), "invalid_arguments") from error


async def add_approval_mails(session: AsyncSession, call_ids: Collection[UUID]) -> None:
    """Store a mail to each user who may decide one of these calls, in the caller's transaction.

    Args:
        session: The transaction that stores the approvals.
        call_ids: Calls of a step; those that wait for nobody are left out.
    """
    calls = ToolCallRepository(session)
    for call_id in call_ids:
        approval = await calls.approval(call_id)
        if approval is not None and approval.approval_status == ApprovalStatus.PENDING:
            asked = await _asked_users(session, approval)
            await add_due_mails(
                session, [_mail(approval, user_id, "approval-needed") for user_id in asked]
            )


async def add_delegation_mail(session: AsyncSession, approval: Approval, user_id: UUID) -> None:
    """Store the mail to a user whom an approval is delegated to, in the caller's transaction."""
    await add_due_mail(session, _mail(approval, user_id, "approval-delegated"))


async def _asked_users(session: AsyncSession, approval: Approval) -> Collection[UUID]:
    """Return who is asked: the delegate, else the administrators, or else the run's owner."""
    if approval.delegated_to is not None:
        return [approval.delegated_to]
    if approval.approver_role == ADMIN:
        return await UserRepository(session).active_of_role(ADMIN)
    return [] if approval.user_id is None else [approval.user_id]


def _mail(approval: Approval, user_id: UUID, fact: str) -> NewMail:
    # Reason: no variables. What the mail says is read when it is sent, and lies nowhere else.
    return NewMail(
        message_key=f"{fact}-{approval.approval_id}-{user_id}",
        user_id=user_id,
        mail_kind=MailKind.APPROVAL_NEEDED,
        resource_id=approval.approval_id,
    )
