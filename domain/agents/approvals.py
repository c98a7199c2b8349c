"""Approvals: each one allows a single tool call with the arguments shown. Pure."""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.agents.runs import RunStatus
from domain.base import Frozen
from domain.errors import ConflictError, ForbiddenError, GoneError

# Role of the run's owner, who answers the questions of the run; an administrator does not.
OWNER = "owner"
# Role of a user in the runs of others, unless the user is an administrator.
STRANGER = "stranger"
_ADMIN = "admin"


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


class DecidedVia(StrEnum):
    """Where a decision was made: over the API, or on the page of a link in a mail."""

    API = "api"
    MAIL_LINK = "mail_link"


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
        arguments: Arguments that the person wants instead; None for those of the call.
        decision: Approve or reject.
        reason: Given to the model and kept in the record.
        decided_by: User who decided.
        role: Role of that user; each tool names the role that may approve it.
        approval_link_id: Link in a mail by which the user decided; None over the API.
        at: Workflow time of the decision; compared with the approval's expiry.
    """

    command_id: UUID
    agent_run_id: UUID
    call_id: UUID
    args_sha256: str
    arguments: dict[str, Any] | None = None
    decision: Decision
    reason: str | None = None
    decided_by: UUID
    role: str
    approval_link_id: UUID | None = None
    at: datetime | None = None

    @property
    def decided_via(self) -> DecidedVia:
        """Where the decision was made."""
        return DecidedVia.API if self.approval_link_id is None else DecidedVia.MAIL_LINK


class ApprovalSnapshot(Frozen):
    """An approval as stored in its row.

    Args:
        tool: Tool of the call.
        args_sha256: Digest of the arguments; of the edited ones, once a person has edited them.
        delegated_to: User who may decide although they have another role.
    """

    tool: str
    approval_status: ApprovalStatus
    args_sha256: str
    approver_role: str
    delegated_to: UUID | None = None
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


def status_while_waiting(approver_roles: Collection[str]) -> RunStatus:
    """Return the status of a run with calls that wait for people.

    Args:
        approver_roles: Role that each of these calls waits for.
    """
    if not approver_roles:
        return RunStatus.RUNNING
    is_question = all(role == OWNER for role in approver_roles)
    return RunStatus.WAITING_INPUT if is_question else RunStatus.WAITING_APPROVAL


def unknown_call() -> ConflictError:
    """Return the error for a call that no approval is asked for."""
    return ConflictError("there is no approval for this call", "unknown_call")


def no_question() -> ConflictError:
    """Return the error for an answer to a call that asks nothing."""
    return ConflictError("the call is no question; decide it by `approve`", "no_question")


def closed_approval(status: ApprovalStatus) -> ConflictError:
    """Return the error for an approval that does not wait any more."""
    details = {"approval_status": status}
    return ConflictError(f"the approval is already {status}", "approval_closed", details)


def expired_link() -> GoneError:
    """Return the error for a link in a mail whose time is over."""
    return GoneError("the link has expired", "link_expired")


def approver_required(approver_role: str) -> ForbiddenError:
    """Return the error for a user who may not decide an approval."""
    return ForbiddenError(
        f"only the role {approver_role} may decide this",
        "approver_required",
        {"approver_role": approver_role},
    )


def decider_role(user_id: UUID, user_role: str, owner_id: UUID | None, approver_role: str) -> str:
    """Return the role in which a user decides an approval.

    Args:
        user_id: The user.
        user_role: Role of the user's account.
        owner_id: Owner of the run that asks; None if it is unknown.
        approver_role: Role that may decide.
    """
    is_owner = user_id == owner_id
    if is_owner and approver_role == OWNER:
        return OWNER
    return user_role if is_owner or user_role == _ADMIN else STRANGER


def may_decide(approver_role: str, delegated_to: UUID | None, user_id: UUID, role: str) -> bool:
    """Return whether a user in this role may decide an approval."""
    return role == approver_role or user_id == delegated_to


def decided_digest(tool: str, command: ApprovalCommand) -> str:
    """Return the digest of the arguments that a decision allows or rejects."""
    if command.arguments is None:
        return command.args_sha256
    return args_digest(tool, command.arguments)


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
        ForbiddenError: The user may not decide this approval (`approver_required`).
        ConflictError: Unknown call, other arguments, expired, or decided in another way.
    """
    if snapshot is None:
        raise unknown_call()
    approver_role = snapshot.approver_role
    if not may_decide(approver_role, snapshot.delegated_to, command.decided_by, command.role):
        raise approver_required(approver_role)
    new_status, status = DECIDED_AS[command.decision], snapshot.approval_status
    if status is new_status and snapshot.args_sha256 == decided_digest(snapshot.tool, command):
        return None
    if command.args_sha256 != snapshot.args_sha256:
        raise ConflictError(
            "the decision was made about other arguments than those of the call",
            "args_digest_mismatch",
        )
    if status is ApprovalStatus.PENDING and at >= snapshot.expires_at:
        status = ApprovalStatus.EXPIRED
    if status is not ApprovalStatus.PENDING:
        raise closed_approval(status)
    return new_status
