"""Runs of agents on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import MASKED, Count, Input, Name, Output
from database.agents.models import AgentRun, Approval, ToolCall, UsageRecord
from domain.agents.approvals import ApprovalStatus, Decision
from domain.agents.runs import OnBusy, RunFinish, RunStatus, UsageTotal

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000), MASKED]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class BudgetIn(Input):
    """What a run may use up at the most, beside the plan's limits."""

    token_count: Count | None = None
    cost_cents: Count | None = None


class NewAgentRun(Input):
    """Starts a run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent": "research",
                    "input": "Where does the night train to Varna leave from?",
                    "budget": {"token_count": 20_000},
                },
            ],
        },
    )

    agent: Name
    input: Text
    conversation_id: UUID | None = Field(default=None, description="Null begins a new one.")
    budget: BudgetIn = BudgetIn()
    on_busy: OnBusy = Field(
        default=OnBusy.ENQUEUE,
        description="What to do while another run of the conversation is not over.",
    )
    user_id: UUID | None = Field(default=None, description="For administrators: whose run it is.")


class ApprovalIn(Input):
    """Decides a call that waits for somebody's yes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "call_id": "1de0…",
                    "args_sha256": "9f86d0…",
                    "decision": "approve",
                    "reason": "the train was late",
                }
            ]
        }
    )

    call_id: UUID
    args_sha256: Sha256 = Field(description="Of the arguments that were decided about.")
    decision: Decision
    reason: Annotated[str, StringConstraints(max_length=1_000), MASKED] | None = None


class RunMessageIn(Input):
    """Something that the user adds while the run goes on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "Be brief."}]})

    content: Text


class CitationOut(Output):
    """A document that the answer rests on."""

    document_id: UUID
    excerpt: str


class PendingApprovalOut(Output):
    """A call that waits for somebody's yes."""

    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    args_sha256: str
    effect: dict[str, Any] | None = Field(
        description="What would happen, as far as it is known: a refund's `amount_cents`, also "
        "where the arguments have none. No more than this is done.",
    )
    approver_role: str
    expires_at: datetime

    @classmethod
    def of(cls, approval: Approval, call: ToolCall) -> "PendingApprovalOut":
        """Render an approval and its call."""
        return cls(
            call_id=call.call_id,
            tool=call.tool,
            arguments=call.arguments_data,
            args_sha256=approval.args_sha256,
            effect=approval.effect_data,
            approver_role=approval.approver_role,
            expires_at=approval.expires_at,
        )


class UsageOut(Output):
    """What models used up."""

    prompt_tokens: int
    completion_tokens: int
    cost_cents: float

    @classmethod
    def of(cls, total: UsageTotal) -> "UsageOut":
        """Render a sum."""
        return cls(
            prompt_tokens=total.prompt_token_count,
            completion_tokens=total.completion_token_count,
            cost_cents=float(total.cost_cents),
        )


class RunErrorOut(Output):
    """Why a run did not complete."""

    code: str
    message: str | None


class AgentRunOut(Output):
    """A run of an agent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent_run_id": "3c2d…",
                    "user_id": "5b1e…",
                    "agent": "research",
                    "conversation_id": "0f7c…",
                    "run_status": "completed",
                    "output": "It leaves from platform 12 [1].",
                    "finish_reason": "stop",
                    "citations": [{"document_id": "c0de…", "excerpt": "The night train…"}],
                    "pending_approvals": [],
                    "usage": {"prompt_tokens": 412, "completion_tokens": 11, "cost_cents": 0.0912},
                    "error": None,
                    "prompt_version": "v1",
                    "workflow_id": "agent-run-3c2d…",
                    "created_at": "2026-11-23T09:00:00Z",
                    "started_at": "2026-11-23T09:00:00Z",
                    "completed_at": "2026-11-23T09:00:02Z",
                }
            ]
        }
    )

    agent_run_id: UUID
    user_id: UUID
    agent: str
    conversation_id: UUID
    run_status: RunStatus
    output: str | None
    finish_reason: RunFinish | None = Field(
        description="Why the model stopped; all but `stop` are failures that keep what was written."
    )
    citations: list[CitationOut]
    pending_approvals: list[PendingApprovalOut]
    usage: UsageOut
    error: RunErrorOut | None
    prompt_version: str
    workflow_id: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @classmethod
    def of(
        cls,
        row: AgentRun,
        total: UsageTotal,
        pending: Sequence[PendingApprovalOut],
    ) -> "AgentRunOut":
        """Render a run's row with what belongs to it."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        failed = None
        if row.error_code is not None:
            failed = RunErrorOut(code=row.error_code, message=row.error_message)
        return cls(
            **facts,
            citations=[CitationOut(**citation) for citation in row.citations_data],
            pending_approvals=list(pending),
            usage=UsageOut.of(total),
            error=failed,
        )


class ModelCallOut(Output):
    """One attempt at a call of a model."""

    attempt: int
    model: str | None
    outcome: str | None = Field(description="Null while it is under way.")
    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = Field(description="Of the prompt: read from a cache.")
    cache_write_tokens: int = Field(description="Of the prompt: written to a cache.")
    reasoning_tokens: int = Field(description="Of the completion: reasoning.")
    cost_cents: float
    is_priced: bool = Field(description="False: nobody knows what the model costs.")
    is_estimated: bool = Field(description="True: the model never told what it used.")

    @classmethod
    def of(cls, row: UsageRecord) -> "ModelCallOut":
        """Render an attempt's record."""
        return cls(
            attempt=row.attempt or 1,
            model=row.model,
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
    """A tool call, as the ledger has it."""

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
        """Render a call and, if it needed one, its approval."""
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
    """One step: what was asked of the model, and what it wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "step": 0,
                    "model_calls": [
                        {
                            "attempt": 1,
                            "model": "gpt-4.1",
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
