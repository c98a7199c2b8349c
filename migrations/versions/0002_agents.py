"""Agents: conversations, runs, tools, documents, usage; and refunds, which agents may ask for."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables, referred ones first; a payment now has a row before Stripe knows of it."""
    op.create_table(
        "conversations",
        sa.Column(
            "conversation_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("last_message_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_conversations_user_id_users")
        ),
        sa.PrimaryKeyConstraint("conversation_id", name=op.f("pk_conversations")),
    )
    op.create_index(
        op.f("ix_conversations_created_at_conversation_id"),
        "conversations",
        ["created_at", "conversation_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_conversations_user_id_created_at_conversation_id"),
        "conversations",
        ["user_id", "created_at", "conversation_id"],
        unique=False,
    )
    op.create_table(
        "documents",
        sa.Column(
            "document_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("source_url", sa.String(), nullable=True),
        sa.Column("content", sa.String(), nullable=True),
        sa.Column("metadata_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("document_status", sa.String(), nullable=False),
        sa.Column("chunk_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_suspicious", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_documents_user_id_users")
        ),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_documents")),
    )
    op.create_index(
        op.f("ix_documents_created_at_document_id"),
        "documents",
        ["created_at", "document_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_documents_user_id_created_at_document_id"),
        "documents",
        ["user_id", "created_at", "document_id"],
        unique=False,
    )
    op.create_table(
        "agent_runs",
        sa.Column(
            "agent_run_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("prompt_version", sa.String(), nullable=False),
        sa.Column("run_status", sa.String(), nullable=False),
        sa.Column("output", sa.String(), nullable=True),
        sa.Column(
            "citations_data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("passages_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("budget_token_count", sa.BigInteger(), nullable=True),
        sa.Column("budget_cost_cents", sa.BigInteger(), nullable=True),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_event_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.conversation_id"],
            name=op.f("fk_agent_runs_conversation_id_conversations"),
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_agent_runs_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_agent_runs_user_id_users")
        ),
        sa.PrimaryKeyConstraint("agent_run_id", name=op.f("pk_agent_runs")),
    )
    op.create_index(
        op.f("ix_agent_runs_conversation_id_created_at_agent_run_id"),
        "agent_runs",
        ["conversation_id", "created_at", "agent_run_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_runs_created_at_agent_run_id"),
        "agent_runs",
        ["created_at", "agent_run_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_runs_subscription_id"), "agent_runs", ["subscription_id"], unique=False
    )
    op.create_index(
        "ix_agent_runs_open",
        "agent_runs",
        ["run_status"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_index(
        op.f("ix_agent_runs_user_id_created_at_agent_run_id"),
        "agent_runs",
        ["user_id", "created_at", "agent_run_id"],
        unique=False,
    )
    op.create_table(
        "messages",
        sa.Column(
            "message_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("agent_run_id", sa.Uuid(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column(
            "tool_calls_data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("message_key", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name=op.f("fk_messages_agent_run_id_agent_runs"),
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.conversation_id"],
            name=op.f("fk_messages_conversation_id_conversations"),
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "seq", name=op.f("uq_messages_conversation_id_seq")),
        sa.UniqueConstraint("message_key", name=op.f("uq_messages_message_key")),
    )
    op.create_index(op.f("ix_messages_agent_run_id"), "messages", ["agent_run_id"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name=op.f("fk_run_events_agent_run_id_agent_runs"),
        ),
        sa.PrimaryKeyConstraint("agent_run_id", "seq", name=op.f("pk_run_events")),
    )
    op.create_table(
        "tool_calls",
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("provider_call_id", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("arguments_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("args_sha256", sa.String(), nullable=False),
        sa.Column("tool_call_status", sa.String(), nullable=False),
        sa.Column("business_key", sa.String(), nullable=True),
        sa.Column("result_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name=op.f("fk_tool_calls_agent_run_id_agent_runs"),
        ),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_tool_calls")),
        sa.UniqueConstraint(
            "agent_run_id",
            "step",
            "position",
            name=op.f("uq_tool_calls_agent_run_id_step_position"),
        ),
    )
    op.create_index(
        "uq_tool_calls_business_key",
        "tool_calls",
        ["business_key"],
        unique=True,
        postgresql_where=sa.text("business_key IS NOT NULL"),
    )
    op.create_table(
        "usage_records",
        sa.Column(
            "usage_record_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("usage_kind", sa.String(), nullable=False),
        sa.Column("usage_status", sa.String(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column(
            "reserved_prompt_token_count",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "reserved_completion_token_count",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "reserved_cost_cents",
            sa.Numeric(precision=20, scale=8),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "prompt_token_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "completion_token_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "cost_cents",
            sa.Numeric(precision=20, scale=8),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("is_priced", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name=op.f("fk_usage_records_agent_run_id_agent_runs"),
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_usage_records_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_usage_records_user_id_users")
        ),
        sa.PrimaryKeyConstraint("usage_record_id", name=op.f("pk_usage_records")),
        sa.UniqueConstraint("source_key", name=op.f("uq_usage_records_source_key")),
    )
    op.create_index(
        op.f("ix_usage_records_agent_run_id_step_attempt"),
        "usage_records",
        ["agent_run_id", "step", "attempt"],
        unique=False,
    )
    op.create_index(
        op.f("ix_usage_records_subscription_id_period_start"),
        "usage_records",
        ["subscription_id", "period_start"],
        unique=False,
    )
    op.create_index(
        op.f("ix_usage_records_user_id_created_at"),
        "usage_records",
        ["user_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "approvals",
        sa.Column(
            "approval_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("args_sha256", sa.String(), nullable=False),
        sa.Column("approver_role", sa.String(), nullable=False),
        sa.Column("approval_status", sa.String(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name=op.f("fk_approvals_agent_run_id_agent_runs"),
        ),
        sa.ForeignKeyConstraint(
            ["call_id"], ["tool_calls.call_id"], name=op.f("fk_approvals_call_id_tool_calls")
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["users.user_id"], name=op.f("fk_approvals_decided_by_users")
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("call_id", name=op.f("uq_approvals_call_id")),
    )
    op.create_index(
        op.f("ix_approvals_agent_run_id_created_at"),
        "approvals",
        ["agent_run_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "refunds",
        sa.Column(
            "refund_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("refund_status", sa.String(), nullable=False),
        sa.Column("stripe_refund_id", sa.String(), nullable=True),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.payment_id"], name=op.f("fk_refunds_payment_id_payments")
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("stripe_refund_id", name=op.f("uq_refunds_stripe_refund_id")),
    )
    op.create_index(
        op.f("ix_refunds_payment_id_created_at"),
        "refunds",
        ["payment_id", "created_at"],
        unique=False,
    )
    op.add_column("payments", sa.Column("stripe_payment_method_id", sa.String(), nullable=True))
    op.add_column("payments", sa.Column("decline_code", sa.String(), nullable=True))
    op.add_column(
        "payments",
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.alter_column(
        "payments", "stripe_payment_intent_id", existing_type=sa.VARCHAR(), nullable=True
    )
    op.add_column("webhook_events", sa.Column("payment_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    """Drop the tables, referring ones first; payments that Stripe never knew of go with them."""
    op.execute("DELETE FROM payments WHERE stripe_payment_intent_id IS NULL")
    op.alter_column(
        "payments", "stripe_payment_intent_id", existing_type=sa.VARCHAR(), nullable=False
    )
    op.drop_column("webhook_events", "payment_id")
    op.drop_column("payments", "updated_at")
    op.drop_column("payments", "decline_code")
    op.drop_column("payments", "stripe_payment_method_id")
    op.drop_index(op.f("ix_refunds_payment_id_created_at"), table_name="refunds")
    op.drop_table("refunds")
    op.drop_index(op.f("ix_approvals_agent_run_id_created_at"), table_name="approvals")
    op.drop_table("approvals")
    op.drop_index(op.f("ix_usage_records_user_id_created_at"), table_name="usage_records")
    op.drop_index(op.f("ix_usage_records_subscription_id_period_start"), table_name="usage_records")
    op.drop_index(op.f("ix_usage_records_agent_run_id_step_attempt"), table_name="usage_records")
    op.drop_table("usage_records")
    op.drop_index(
        "uq_tool_calls_business_key",
        table_name="tool_calls",
        postgresql_where=sa.text("business_key IS NOT NULL"),
    )
    op.drop_table("tool_calls")
    op.drop_table("run_events")
    op.drop_index(op.f("ix_messages_agent_run_id"), table_name="messages")
    op.drop_table("messages")
    op.drop_index(op.f("ix_agent_runs_user_id_created_at_agent_run_id"), table_name="agent_runs")
    op.drop_index(op.f("ix_agent_runs_subscription_id"), table_name="agent_runs")
    op.drop_index(
        "ix_agent_runs_open",
        table_name="agent_runs",
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.drop_index(op.f("ix_agent_runs_created_at_agent_run_id"), table_name="agent_runs")
    op.drop_index(
        op.f("ix_agent_runs_conversation_id_created_at_agent_run_id"), table_name="agent_runs"
    )
    op.drop_table("agent_runs")
    op.drop_index(op.f("ix_documents_user_id_created_at_document_id"), table_name="documents")
    op.drop_index(op.f("ix_documents_created_at_document_id"), table_name="documents")
    op.drop_table("documents")
    op.drop_index(
        op.f("ix_conversations_user_id_created_at_conversation_id"), table_name="conversations"
    )
    op.drop_index(op.f("ix_conversations_created_at_conversation_id"), table_name="conversations")
    op.drop_table("conversations")
