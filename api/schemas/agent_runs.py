"""Schemas of runs of agents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.schemas.common import MASKED, NOT_BLANK, Count, Input, Name, Output
from database.agents.models import AgentRun, Approval, ToolCall
from domain.agents.runs import OnBudget, OnBusy, OnBusyRun, RunFinish, RunStatus
from domain.llm.batches import Urgency
from domain.usage.amounts import UsageTotal

PromptVersion = Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,6}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=NOT_BLANK), MASKED]


_EXAMPLE: dict[str, Any] = {
    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
    "parent_run_id": None,
    "root_run_id": None,
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "agent": "research",
    "urgency": "normal",
    "conversation_id": "0f7c2b1a-4d3e-4f5a-8b6c-7d8e9f0a1b2c",
    "run_status": "completed",
    "output": "It leaves from platform 12 [1].",
    "output_data": None,
    "finish_reason": "stop",
    "citations": [
        {
            "document_id": "c0de4a2b-1f3c-4d5e-9a6b-7c8d9e0f1a2b",
            "excerpt": "The night train…",
        }
    ],
    "pending_approvals": [],
    "usage": {"prompt_tokens": 412, "completion_tokens": 11, "cost_cents": 0.0912},
    "error": None,
    "prompt_version": "v1",
    "workflow_id": "agent-run-3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
    "created_at": "2026-11-23T09:00:00Z",
    "started_at": "2026-11-23T09:00:00Z",
    "completed_at": "2026-11-23T09:00:02Z",
}
# A run that has just begun; while another run of the conversation is open, it is `queued`.
NEW_RUN_EXAMPLE = {
    **_EXAMPLE,
    "run_status": "running",
    "output": None,
    "output_data": None,
    "finish_reason": None,
    "citations": [],
    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost_cents": 0.0},
    "completed_at": None,
}


class BudgetIn(Input):
    """Limits of one run, in addition to the limits of the plan."""

    token_count: Count | None = None
    cost_cents: Count | None = None


class RaisedBudgetIn(BudgetIn):
    """The new budget of a run: not less than before; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token_count": 50_000}]})

    @model_validator(mode="after")
    def _raises_something(self) -> "RaisedBudgetIn":
        if self.token_count is None and self.cost_cents is None:
            raise ValueError("token_count or cost_cents is needed")
        return self


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
    on_budget: OnBudget = Field(
        default=OnBudget.END,
        description="What to do when the budget or the plan's limit is used up: end, or wait until "
        "the budget is raised or the limit renewed.",
    )
    urgency: Urgency = Field(
        default=Urgency.NORMAL,
        description="`batch`: the run may wait up to a day for each answer of its model, which "
        "then costs half. Nothing is streamed meanwhile.",
    )
    prompt_version: PromptVersion | None = Field(
        default=None, description="For administrators: another version of the agent's prompt."
    )
    user_id: UUID | None = Field(default=None, description="For administrators: the run's owner.")


class RunMessageIn(Input):
    """A message that the user adds to a run in progress."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"content": "Be brief.", "on_busy": "interrupt"}]}
    )

    content: Text
    on_busy: OnBusyRun = Field(
        default=OnBusyRun.ENQUEUE,
        description="What to do while the run is busy: let its next step read the message, refuse "
        "it, or stop the answer under way so that the model reads it now. A tool call is always "
        "completed.",
    )


class ForkIn(Input):
    """Where and with what a copy of a run's conversation goes on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"step": 1, "input": "Look in the other folder."}]}
    )

    step: int = Field(
        ge=0,
        le=10_000,
        description="The step whose answer is left out, with all that came after it.",
    )
    input: Text = "Go on from here."


class CitationOut(Output):
    """A document that the output is based on."""

    document_id: UUID
    excerpt: str
    page_number: int | None = Field(
        default=None, description="Where the excerpt begins, in a document with pages."
    )


class PendingApprovalOut(Output):
    """A tool call that waits for approval."""

    agent_run_id: UUID = Field(
        description="The run that made the call, at which it is decided: this one or a child."
    )
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
            agent_run_id=call.agent_run_id,
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

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    agent_run_id: UUID
    parent_run_id: UUID | None = Field(
        description="The run whose team this one belongs to; null if a user began it."
    )
    root_run_id: UUID | None = Field(description="The run above all of them, which a user began.")
    user_id: UUID
    agent: str
    urgency: Urgency
    conversation_id: UUID
    run_status: RunStatus
    output: str | None
    output_data: dict[str, Any] | None = Field(
        description="The output as a JSON document, if the agent has an `output_schema`."
    )
    finish_reason: RunFinish | None = Field(
        description="How the answer ended. All but `stop` are failures; `output` keeps the text."
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


class DecidedRunOut(AgentRunOut):
    """A run after a decision about one of its tool calls."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**NEW_RUN_EXAMPLE, "args_sha256": "9f86d081" * 8}]}
    )

    args_sha256: str = Field(
        description="Digest of the arguments that were decided: another one if they were edited."
    )
