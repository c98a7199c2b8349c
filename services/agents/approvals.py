"""Prepares decisions about approvals: their snapshots, and arguments that a person has edited."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from database.agents.models import Approval
from domain.agents.approvals import (
    ApprovalSnapshot,
    ApprovalStatus,
)
from domain.errors import InvalidInputError
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
