"""Tables of agents: columns, constraints and indexes."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Numeric, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class Conversation(Base):
    """A conversation, to which runs add messages."""

    __tablename__ = "conversations"

    conversation_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    title: Mapped[str | None]
    # The conversation whose effects it shares: of a child run, its first ancestor's; else None.
    root_conversation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("conversations.conversation_id")
    )
    # Whether it was made for a child run, and is left out of lists.
    is_child: Mapped[bool] = mapped_column(server_default=text("false"))
    last_message_seq: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        Index(None, "user_id", "created_at", "conversation_id"),
        Index(None, "created_at", "conversation_id"),
    )


class AgentRun(Base):
    """The view of one run; only activities of its workflow write it.

    The budget is the requested one; the plan's limits apply as well. `passages_data` has the
    retrieved passages with their numbers in the prompt, from which citations are made.
    """

    __tablename__ = "agent_runs"

    agent_run_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.conversation_id"))
    # The run whose team it belongs to, and the one above all; None if a user began it.
    parent_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    root_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    agent: Mapped[str]
    prompt_version: Mapped[str]
    run_status: Mapped[str]
    output: Mapped[str | None]
    citations_data: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb")
    )
    passages_data: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    # The output as a JSON document, if the agent has a schema for it.
    output_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    finish_reason: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    budget_token_count: Mapped[int | None]
    budget_cost_cents: Mapped[int | None]
    urgency: Mapped[str] = mapped_column(server_default=text("'normal'"))
    subscription_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subscriptions.subscription_id")
    )
    period_start: Mapped[datetime | None]
    last_event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    workflow_id: Mapped[str]
    created_at: Mapped[datetime] = created_column()
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    # When the run's memory is to be stored next; None if there is none, or it is stored.
    memory_due_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "user_id", "created_at", "agent_run_id"),
        Index(None, "created_at", "agent_run_id"),
        Index(None, "conversation_id", "created_at", "agent_run_id"),
        Index(None, "subscription_id"),
        Index(
            "ix_agent_runs_open",
            "run_status",
            postgresql_where=text("completed_at IS NULL"),
        ),
        Index(
            "ix_agent_runs_children",
            *("parent_run_id", "created_at", "agent_run_id"),
            postgresql_where=text("parent_run_id IS NOT NULL"),
        ),
        Index(
            "ix_agent_runs_root_run_id",
            "root_run_id",
            postgresql_where=text("root_run_id IS NOT NULL"),
        ),
        Index(
            "ix_agent_runs_memory_due_at",
            "memory_due_at",
            postgresql_where=text("memory_due_at IS NOT NULL"),
        ),
    )


class Message(Base):
    """One message of a conversation; `message_key` prevents storing it twice."""

    __tablename__ = "messages"

    message_id: Mapped[UUID] = id_column()
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.conversation_id"))
    agent_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    seq: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    tool_calls_data: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb")
    )
    provider_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    call_id: Mapped[UUID | None]
    # Why an answer does not fit its schema, which the model reads right after it.
    output_problem: Mapped[str | None]
    message_key: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        Index(None, "agent_run_id"),
    )


class RunEvent(Base):
    """One event of a run's stream; `seq` has no gaps, because the run's row counts it."""

    __tablename__ = "run_events"

    agent_run_id: Mapped[UUID] = mapped_column(
        ForeignKey("agent_runs.agent_run_id"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    event_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ToolCall(Base):
    """The ledger of tools: one call that a model asked for, with its result.

    `call_id` is our id; the model's own id, which may repeat, is `provider_call_id`.
    `business_key` is set once an effect that must be unique across runs is claimed.
    """

    __tablename__ = "tool_calls"

    call_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_run_id: Mapped[UUID] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    step: Mapped[int]
    position: Mapped[int]
    provider_call_id: Mapped[str]
    tool: Mapped[str]
    arguments_data: Mapped[dict[str, Any]]
    args_sha256: Mapped[str]
    tool_call_status: Mapped[str]
    business_key: Mapped[str | None]
    result_data: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = created_column()
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("agent_run_id", "step", "position"),
        Index(
            "uq_tool_calls_business_key",
            "business_key",
            unique=True,
            postgresql_where=text("business_key IS NOT NULL"),
        ),
        Index(
            "ix_tool_calls_outcome_unknown",
            "created_at",
            "call_id",
            postgresql_where=text("tool_call_status = 'outcome_unknown'"),
        ),
    )


class Approval(Base):
    """A person's decision about one call with exactly these arguments.

    Undecided approvals expire. `effect_data` is the effect of the call, as shown to the person.
    If the person changed the arguments, `asked_arguments_data` has those that the model wrote.
    """

    __tablename__ = "approvals"

    approval_id: Mapped[UUID] = id_column()
    call_id: Mapped[UUID] = mapped_column(ForeignKey("tool_calls.call_id"), unique=True)
    agent_run_id: Mapped[UUID] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    args_sha256: Mapped[str]
    approver_role: Mapped[str]
    # The run's owner; None if a worker of an earlier release has stored the approval.
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.user_id"))
    # Whom an administrator lets decide as well.
    delegated_to: Mapped[UUID | None] = mapped_column(ForeignKey("users.user_id"))
    asked_arguments_data: Mapped[dict[str, Any] | None]
    effect_data: Mapped[dict[str, Any] | None]
    approval_status: Mapped[str]
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.user_id"))
    decided_via: Mapped[str | None]
    reason: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = created_column()
    decided_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "agent_run_id", "created_at"),
        Index(None, "created_at", "approval_id"),
        Index(None, "user_id", "created_at", "approval_id"),
        Index(
            "ix_approvals_delegated_to",
            "delegated_to",
            postgresql_where=text("delegated_to IS NOT NULL"),
        ),
    )


class RunSchedule(Base):
    """A schedule that starts runs; Temporal has its times, by the id of this row."""

    __tablename__ = "run_schedules"

    run_schedule_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    agent: Mapped[str]
    input: Mapped[str]
    cron: Mapped[str]
    time_zone: Mapped[str]
    is_active: Mapped[bool]
    budget_token_count: Mapped[int | None]
    budget_cost_cents: Mapped[int | None]
    on_budget: Mapped[str]
    last_agent_run_id: Mapped[UUID | None]
    # Why the last run was refused; None if it was not.
    last_error_code: Mapped[str | None]
    last_started_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        Index(None, "user_id", "created_at", "run_schedule_id"),
        Index(None, "created_at", "run_schedule_id"),
    )


class RunFeedback(Base):
    """What a user thinks of a run's answer, with what a comparison of prompts needs."""

    __tablename__ = "run_feedback"

    run_feedback_id: Mapped[UUID] = id_column()
    agent_run_id: Mapped[UUID] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    agent: Mapped[str]
    prompt_version: Mapped[str]
    score: Mapped[float]
    label: Mapped[str | None]
    cost_cents: Mapped[Decimal] = mapped_column(Numeric(20, 8))
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        UniqueConstraint("agent_run_id", "user_id"),
        Index(None, "agent", "prompt_version"),
        Index(None, "user_id"),
    )


class RunArtifact(Base):
    """A file that a tool call of a run has made; the content is read only where it is asked for."""

    __tablename__ = "run_artifacts"

    artifact_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_run_id: Mapped[UUID] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    call_id: Mapped[UUID] = mapped_column(ForeignKey("tool_calls.call_id"))
    name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    content: Mapped[bytes] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        UniqueConstraint("agent_run_id", "call_id", "name"),
        Index(None, "user_id"),
        Index(None, "call_id"),
    )
