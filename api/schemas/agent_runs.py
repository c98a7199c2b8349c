"""Schemas of runs of agents."""

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
    """Limits of one run, in addition to the limits of the plan."""

    token_count: Count | None = None
    cost_cents: Count | None = None


class NewAgentRun(Input):
    """A new run of an agent."""

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
    conversation_id: UUID | None = Field(default=None, description="Null starts a new one.")
    budget: BudgetIn = BudgetIn()
    on_busy: OnBusy = Field(
        default=OnBusy.ENQUEUE,
        description="What to do while another run of the conversation is in progress.",
    )
    user_id: UUID | None = Field(default=None, description="For administrators: the run's owner.")


class ApprovalIn(Input):
    """A decision about a tool call that waits for approval."""

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
    args_sha256: Sha256 = Field(description="`args_sha256` of the pending approval.")
    decision: Decision
    reason: Annotated[str, StringConstraints(max_length=1_000), MASKED] | None = None


class RunMessageIn(Input):
    """A message that the user adds to a run in progress."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "Be brief."}]})

    content: Text


class CitationOut(Output):
    """A document that the output is based on."""

    document_id: UUID
    excerpt: str


class PendingApprovalOut(Output):
    """A tool call that waits for approval."""

    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    args_sha256: str
    effect: dict[str, Any] | None = Field(
        description="What the call would do, as far as is known: for a refund its `amount_cents`, "
        "even if the arguments have none. The call does no more than this.",
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
    """Usage of models."""

    prompt_tokens: int
    completion_tokens: int
    cost_cents: float

    @classmethod
    def of(cls, total: UsageTotal) -> "UsageOut":
        """Render a total."""
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
        description="Why the model stopped. All but `stop` are failures; `output` keeps the text."
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
        """Render the row of a run, with its usage and its pending approvals."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        run_error = None
        if row.error_code is not None:
            run_error = RunErrorOut(code=row.error_code, message=row.error_message)
        return cls(
            **facts,
            citations=[CitationOut(**citation) for citation in row.citations_data],
            pending_approvals=list(pending),
            usage=UsageOut.of(total),
            error=run_error,
        )


class ModelCallOut(Output):
    """One attempt at a model call."""

    attempt: int
    model: str | None
    outcome: str | None = Field(description="Null while the call is in progress.")
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
