"""Converts rows of approvals into snapshots for the domain rules."""

from database.agents.models import Approval
from domain.agents.approvals import (
    ApprovalSnapshot,
    ApprovalStatus,
)


def approval_snapshot(row: Approval) -> ApprovalSnapshot:
    """Return the snapshot of an approval's row."""
    return ApprovalSnapshot(
        approval_status=ApprovalStatus(row.approval_status),
        args_sha256=row.args_sha256,
        approver_role=row.approver_role,
        expires_at=row.expires_at,
    )
