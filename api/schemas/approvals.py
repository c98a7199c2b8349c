"""Schemas of the inbox of approvals."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Input, Output
from database.agents.models import Approval, ToolCall
from domain.agents.approvals import ApprovalStatus, DecidedVia

_EXAMPLE: dict[str, Any] = {
    "approval_id": "7c1f0a52-5d6e-4f7a-8b9c-0d1e2f3a4b5c",
    "approval_status": "pending",
    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "call_id": "1de0a9b8-c7d6-4e5f-8a3b-2c1d0e9f8a7b",
    "tool": "refund_payment",
    "arguments": {"payment_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55", "reason": "late train"},
    "asked_arguments": None,
    "preview": {"amount_cents": 2_500, "currency_code": "usd"},
    "args_sha256": "9f86d081" * 8,
    "approver_role": "admin",
    "delegated_to": None,
    "expires_at": "2026-11-24T09:00:00Z",
    "created_at": "2026-11-23T09:00:00Z",
    "decided_by": None,
    "decided_via": None,
    "decided_at": None,
    "reason": None,
}


class DelegateIn(Input):
    """Whom an approval is delegated to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a"}]}
    )

    user_id: UUID


class ApprovalOut(Output):
    """A tool call that a person has to decide, or has decided.

    `preview` is what the call would do, as far as is known. If the person edited the arguments,
    `asked_arguments` are those that the model wrote.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    approval_id: UUID
    approval_status: ApprovalStatus
    agent_run_id: UUID
    user_id: UUID | None
    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    asked_arguments: dict[str, Any] | None
    preview: dict[str, Any] | None
    args_sha256: str
    approver_role: str
    delegated_to: UUID | None
    expires_at: datetime
    created_at: datetime
    decided_by: UUID | None
    decided_via: DecidedVia | None = Field(
        description="`api`, or `mail_link`: the page of a link in a mail."
    )
    decided_at: datetime | None
    reason: str | None

    @classmethod
    def of(cls, row: Approval, call: ToolCall) -> "ApprovalOut":
        """Render an approval and its call."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        return cls(
            **facts,
            tool=call.tool,
            arguments=call.arguments_data,
            asked_arguments=row.asked_arguments_data,
            preview=row.effect_data,
        )
