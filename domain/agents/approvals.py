"""Approvals: one yes serves one call, with exactly the arguments that were shown. Pure."""

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
    """What a person says."""

    APPROVE = "approve"
    REJECT = "reject"


class ApprovalStatus(StrEnum):
    """Where an approval can stand. Silence is a no."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


DECIDED_AS = {
    Decision.APPROVE: ApprovalStatus.APPROVED,
    Decision.REJECT: ApprovalStatus.REJECTED,
}


class ApprovalCommand(Frozen):
    """What a person decides; `command_id` is also the update's id.

    Args:
        command_id: Of the POST.
        agent_run_id: Which run.
        call_id: Which call.
        args_sha256: The digest of the arguments that the person saw.
        decision: Yes or no.
        reason: For the model, and for the record.
        decided_by: Who.
        role: What they are: each tool names who may approve it.
        at: The workflow's time, against which the approval expires.
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
    """An approval as its row says."""

    approval_status: ApprovalStatus
    args_sha256: str
    approver_role: str
    expires_at: datetime


class ExpiryInput(Frozen):
    """Argument of the activity that ends an approval nobody gave."""

    agent_run_id: UUID
    call_id: UUID
    at: datetime


class ApprovalResult(Frozen):
    """How an approval was decided."""

    call_id: UUID
    approval_status: ApprovalStatus


def args_digest(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return the SHA-256 that binds an approval to a tool and its arguments, as hex."""
    document = {"tool": tool, "arguments": arguments}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Reason: a model can write half of a surrogate pair, and that must not stop a run.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def decide(
    seen: ApprovalSnapshot | None,
    command: ApprovalCommand,
    at: datetime,
) -> ApprovalStatus | None:
    """Decide an approval.

    Args:
        seen: The approval as it stands; None if no such call waits for one.
        command: What a person says.
        at: Now, on the clock that the approval expires by.

    Returns:
        What it becomes; None if it was decided the same way before.

    Raises:
        ForbiddenError: Somebody else has to decide (`approver_required`).
        ConflictError: Unknown call, other arguments, expired, or decided otherwise.
    """
    if seen is None:
        raise ConflictError("no such call waits for an approval", "unknown_call")
    if command.role != seen.approver_role:
        raise ForbiddenError(
            f"only the role {seen.approver_role} may decide this",
            "approver_required",
            {"approver_role": seen.approver_role},
        )
    if command.args_sha256 != seen.args_sha256:
        raise ConflictError(
            "the call has other arguments than the ones that were decided about",
            "args_digest_mismatch",
        )
    wanted, status = DECIDED_AS[command.decision], seen.approval_status
    if status is wanted:
        return None
    if status is ApprovalStatus.PENDING and at >= seen.expires_at:
        status = ApprovalStatus.EXPIRED
    if status is not ApprovalStatus.PENDING:
        raise ConflictError(
            f"the approval is {status} already",
            "approval_closed",
            {"approval_status": status},
        )
    return wanted
