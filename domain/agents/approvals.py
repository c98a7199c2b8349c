"""Approvals: each one allows a single tool call with the arguments shown. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.errors import ConflictError, ForbiddenError


class Decision(StrEnum):
    """The decision of a person about an approval."""

    APPROVE = "approve"
    REJECT = "reject"


class ApprovalStatus(StrEnum):
    """The status of an approval; without a decision in time, it expires."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


DECIDED_AS = {
    Decision.APPROVE: ApprovalStatus.APPROVED,
    Decision.REJECT: ApprovalStatus.REJECTED,
}


class ApprovalCommand(Frozen):
    """A person's decision about an approval; `command_id` is also the id of the update.

    Args:
        command_id: Id of the command that the POST made.
        agent_run_id: Run that asked for the approval.
        call_id: Tool call to decide about.
        args_sha256: Digest of the arguments that the person saw.
        decision: Approve or reject.
        reason: Given to the model and kept in the record.
        decided_by: User who decided.
        role: Role of that user; each tool names the role that may approve it.
        at: Workflow time of the decision; compared with the approval's expiry.
    """

    command_id: UUID
    agent_run_id: UUID
    call_id: UUID
    args_sha256: str
    decision: Decision
    reason: str | None = None
    decided_by: UUID
    role: str
    at: datetime | None = None


class ApprovalSnapshot(Frozen):
    """An approval as stored in its row."""

    approval_status: ApprovalStatus
    args_sha256: str
    approver_role: str
    expires_at: datetime


class ExpiryInput(Frozen):
    """Input of the activity that expires an undecided approval."""

    agent_run_id: UUID
    call_id: UUID
    at: datetime


class ApprovalResult(Frozen):
    """How an approval was decided."""

    call_id: UUID
    approval_status: ApprovalStatus


def args_digest(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a tool's name and arguments, to which an approval is bound."""
    document = {"tool": tool, "arguments": arguments}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Reason: a model can write half of a surrogate pair, which must not fail the run.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def decide_approval(
    snapshot: ApprovalSnapshot | None,
    command: ApprovalCommand,
    at: datetime,
) -> ApprovalStatus | None:
    """Decide an approval.

    Args:
        snapshot: The stored approval; None if the call has none.
        command: Decision of a person.
        at: Current time, on the clock of `expires_at`.

    Returns:
        The new status; None if the approval was decided in the same way before.

    Raises:
        ForbiddenError: The user's role may not decide this approval (`approver_required`).
        ConflictError: Unknown call, other arguments, expired, or decided in another way.
    """
    if snapshot is None:
        raise ConflictError("there is no approval for this call", "unknown_call")
    if command.role != snapshot.approver_role:
        raise ForbiddenError(
            f"only the role {snapshot.approver_role} may decide this",
            "approver_required",
            {"approver_role": snapshot.approver_role},
        )
    if command.args_sha256 != snapshot.args_sha256:
        raise ConflictError(
            "the decision was made about other arguments than those of the call",
            "args_digest_mismatch",
        )
    new_status, status = DECIDED_AS[command.decision], snapshot.approval_status
    if status is new_status:
        return None
    if status is ApprovalStatus.PENDING and at >= snapshot.expires_at:
        status = ApprovalStatus.EXPIRED
    if status is not ApprovalStatus.PENDING:
        raise ConflictError(
            f"the approval is already {status}",
            "approval_closed",
            {"approval_status": status},
        )
    return new_status
