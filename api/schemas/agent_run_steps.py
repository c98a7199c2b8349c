"""Schemas of the steps of a run: its model calls and its tool calls."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from database.agents.models import Approval, ToolCall
from database.usage.models import UsageRecord
from domain.agents.approvals import ApprovalStatus
from domain.llm.messages import ProviderSlot


class ModelCallOut(Output):
    """One attempt at a model call."""

    attempt: int
    model: str | None
    provider: ProviderSlot | None = Field(
        description="The provider in the settings, or the one that takes its place."
    )
    is_batch: bool = Field(description="Made by the provider's batch endpoint, at half price.")
    outcome: str | None = Field(
        description="Null while the call is in progress; `cached` for an answer from the cache."
    )
    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = Field(description="Prompt tokens read from a cache.")
    cache_write_tokens: int = Field(description="Prompt tokens written to a cache.")
    reasoning_tokens: int = Field(description="Completion tokens used for reasoning.")
    cost_cents: float
    is_priced: bool = Field(description="False: no price is known for this model.")
    is_estimated: bool = Field(description="True: the model did not report its usage.")

    @classmethod
    def of(cls, row: UsageRecord) -> "ModelCallOut":
        """Render the usage record of an attempt."""
        return cls(
            attempt=row.attempt or 1,
            model=row.model,
            provider=None if row.provider_slot is None else ProviderSlot(row.provider_slot),
            is_batch=row.batch_data is not None,
            outcome=row.outcome,
            prompt_tokens=row.prompt_token_count,
            completion_tokens=row.completion_token_count,
            cached_prompt_tokens=row.cached_prompt_token_count,
            cache_write_tokens=row.cache_write_token_count,
            reasoning_tokens=row.reasoning_token_count,
            cost_cents=float(row.cost_cents),
            is_priced=row.is_priced,
            is_estimated=row.is_estimated,
        )


class ToolCallOut(Output):
    """A tool call, as recorded in the ledger."""

    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    args_sha256: str
    tool_call_status: str
    approval_status: ApprovalStatus | None
    result: dict[str, Any] | None
    completed_at: datetime | None

    @classmethod
    def of(cls, row: ToolCall, approval: Approval | None) -> "ToolCallOut":
        """Render a tool call and its approval, if it has one."""
        return cls(
            call_id=row.call_id,
            tool=row.tool,
            arguments=row.arguments_data,
            args_sha256=row.args_sha256,
            tool_call_status=row.tool_call_status,
            approval_status=ApprovalStatus(approval.approval_status) if approval else None,
            result=row.result_data,
            completed_at=row.completed_at,
        )


class StepOut(Output):
    """One step of a run: its model calls and its tool calls."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "step": 0,
                    "model_calls": [
                        {
                            "attempt": 1,
                            "model": "gpt-4.1",
                            "provider": "primary",
                            "is_batch": False,
                            "outcome": "succeeded",
                            "prompt_tokens": 412,
                            "completion_tokens": 11,
                            "cached_prompt_tokens": 0,
                            "cache_write_tokens": 0,
                            "reasoning_tokens": 0,
                            "cost_cents": 0.0912,
                            "is_priced": True,
                            "is_estimated": False,
                        }
                    ],
                    "tool_calls": [],
                }
            ]
        }
    )

    step: int
    model_calls: list[ModelCallOut]
    tool_calls: list[ToolCallOut]
