"""Billing: accounts, plans, subscriptions, recoveries, and the inbox of webhooks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables, referred ones first."""
    _create_idempotency_keys()
    _create_plans()
    _create_retry_policies()
    _create_users()
    _create_webhook_events()
    _create_api_keys()
    _create_payment_methods()
    _create_subscriptions()
    _create_invoices()
    _create_payment_retries()
    _create_subscription_events()
    _create_payment_attempts()
    _create_payments()


def downgrade() -> None:
    """Drop the tables, referring ones first."""
    op.drop_table("payments")
    op.drop_table("payment_attempts")
    op.drop_table("subscription_events")
    op.drop_table("payment_retries")
    op.drop_table("invoices")
    op.drop_table("subscriptions")
    op.drop_table("payment_methods")
    op.drop_table("api_keys")
    op.drop_table("webhook_events")
    op.drop_table("users")
    op.drop_table("retry_policies")
    op.drop_table("plans")
    op.drop_table("idempotency_keys")


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column(
            "idempotency_key_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("answer_status_code", sa.BigInteger(), nullable=True),
        sa.Column("answer_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("idempotency_key_id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint(
            "caller_id", "path", "key", name=op.f("uq_idempotency_keys_caller_id_path_key")
        ),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column(
            "plan_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.String(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("interval_count", sa.BigInteger(), nullable=False),
        sa.Column("trial_days", sa.BigInteger(), nullable=False),
        sa.Column("features_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("limits_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("retry_policy", sa.String(), nullable=False),
        sa.Column("stripe_product_id", sa.String(), nullable=False),
        sa.Column("stripe_price_id", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_plans")),
        sa.UniqueConstraint("code", name=op.f("uq_plans_code")),
    )
    op.create_index(
        op.f("ix_plans_created_at_plan_id"), "plans", ["created_at", "plan_id"], unique=False
    )


def _create_retry_policies() -> None:
    op.create_table(
        "retry_policies",
        sa.Column(
            "retry_policy_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("policy_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("retry_policy_id", name=op.f("pk_retry_policies")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_retry_policies_name_version")),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column(
            "user_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("role", sa.String(), server_default="user", nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("stripe_customer_id", sa.String(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("external_id", name=op.f("uq_users_external_id")),
        sa.UniqueConstraint("stripe_customer_id", name=op.f("uq_users_stripe_customer_id")),
    )


def _create_webhook_events() -> None:
    op.create_table(
        "webhook_events",
        sa.Column(
            "webhook_event_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("stripe_event_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("webhook_event_status", sa.String(), server_default="received", nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("webhook_event_id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("stripe_event_id", name=op.f("uq_webhook_events_stripe_event_id")),
    )
    op.create_index(
        op.f("ix_webhook_events_received_at_webhook_event_id"),
        "webhook_events",
        ["received_at", "webhook_event_id"],
        unique=False,
    )
    op.create_index(
        "ix_webhook_events_waiting",
        "webhook_events",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("webhook_event_status = 'received'"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column(
            "api_key_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_prefix", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.user_id"],
            name=op.f("fk_api_keys_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("api_key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_keys_key_sha256")),
    )
    op.create_index(
        op.f("ix_api_keys_user_id_created_at_api_key_id"),
        "api_keys",
        ["user_id", "created_at", "api_key_id"],
        unique=False,
    )


def _create_payment_methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column(
            "payment_method_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("stripe_payment_method_id", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("last4", sa.String(), nullable=False),
        sa.Column("exp_month", sa.BigInteger(), nullable=False),
        sa.Column("exp_year", sa.BigInteger(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("detached_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_payment_methods_user_id_users")
        ),
        sa.PrimaryKeyConstraint("payment_method_id", name=op.f("pk_payment_methods")),
        sa.UniqueConstraint(
            "stripe_payment_method_id", name=op.f("uq_payment_methods_stripe_payment_method_id")
        ),
    )
    op.create_index(
        op.f("ix_payment_methods_user_id_created_at_payment_method_id"),
        "payment_methods",
        ["user_id", "created_at", "payment_method_id"],
        unique=False,
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column(
            "subscription_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("subscription_status", sa.String(), nullable=False),
        sa.Column("is_written_off", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_action_url", sa.String(), nullable=True),
        sa.Column("parked_reason", sa.String(), nullable=True),
        sa.Column("stripe_subscription_id", sa.String(), nullable=True),
        sa.Column("stripe_customer_id", sa.String(), nullable=True),
        sa.Column("latest_invoice_id", sa.Uuid(), nullable=True),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column("last_event_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.plan_id"], name=op.f("fk_subscriptions_plan_id_plans")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_subscriptions_user_id_users")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint(
            "stripe_subscription_id", name=op.f("uq_subscriptions_stripe_subscription_id")
        ),
    )
    op.create_index(
        op.f("ix_subscriptions_created_at_subscription_id"),
        "subscriptions",
        ["created_at", "subscription_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_subscriptions_user_id_created_at_subscription_id"),
        "subscriptions",
        ["user_id", "created_at", "subscription_id"],
        unique=False,
    )


def _create_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column(
            "invoice_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("stripe_invoice_id", sa.String(), nullable=False),
        sa.Column("invoice_status", sa.String(), nullable=False),
        sa.Column("billing_reason", sa.String(), nullable=True),
        sa.Column("amount_due_cents", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.String(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hosted_invoice_url", sa.String(), nullable=True),
        sa.Column("invoiced_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_invoices_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_invoices_user_id_users")
        ),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("stripe_invoice_id", name=op.f("uq_invoices_stripe_invoice_id")),
    )
    op.create_index(
        op.f("ix_invoices_subscription_id_invoiced_at_invoice_id"),
        "invoices",
        ["subscription_id", "invoiced_at", "invoice_id"],
        unique=False,
    )


def _create_payment_retries() -> None:
    op.create_table(
        "payment_retries",
        sa.Column(
            "payment_retry_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("stripe_invoice_id", sa.String(), nullable=False),
        sa.Column("retry_status", sa.String(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("policy_name", sa.String(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("workflow_id", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_payment_retries_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_payment_retries_user_id_users")
        ),
        sa.PrimaryKeyConstraint("payment_retry_id", name=op.f("pk_payment_retries")),
        sa.UniqueConstraint("stripe_invoice_id", name=op.f("uq_payment_retries_stripe_invoice_id")),
    )
    op.create_index(
        op.f("ix_payment_retries_created_at_payment_retry_id"),
        "payment_retries",
        ["created_at", "payment_retry_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_payment_retries_subscription_id_created_at_payment_retry_id"),
        "payment_retries",
        ["subscription_id", "created_at", "payment_retry_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_payment_retries_user_id_created_at_payment_retry_id"),
        "payment_retries",
        ["user_id", "created_at", "payment_retry_id"],
        unique=False,
    )


def _create_subscription_events() -> None:
    op.create_table(
        "subscription_events",
        sa.Column(
            "subscription_event_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("event_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_events_subscription_id_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("subscription_event_id", name=op.f("pk_subscription_events")),
        sa.UniqueConstraint(
            "subscription_id", "seq", name=op.f("uq_subscription_events_subscription_id_seq")
        ),
        sa.UniqueConstraint(
            "subscription_id",
            "source_key",
            name=op.f("uq_subscription_events_subscription_id_source_key"),
        ),
    )


def _create_payment_attempts() -> None:
    op.create_table(
        "payment_attempts",
        sa.Column(
            "payment_attempt_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("payment_retry_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("decline_code", sa.String(), nullable=True),
        sa.Column("advice_code", sa.String(), nullable=True),
        sa.Column("stripe_payment_method_id", sa.String(), nullable=True),
        sa.Column("stripe_payment_intent_id", sa.String(), nullable=True),
        sa.Column("stripe_charge_id_before", sa.String(), nullable=True),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_retry_id"],
            ["payment_retries.payment_retry_id"],
            name=op.f("fk_payment_attempts_payment_retry_id_payment_retries"),
        ),
        sa.PrimaryKeyConstraint("payment_attempt_id", name=op.f("pk_payment_attempts")),
        sa.UniqueConstraint(
            "payment_retry_id", "attempt", name=op.f("uq_payment_attempts_payment_retry_id_attempt")
        ),
    )
    op.create_index(
        op.f("ix_payment_attempts_stripe_payment_method_id_attempted_at"),
        "payment_attempts",
        ["stripe_payment_method_id", "attempted_at"],
        unique=False,
    )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column(
            "payment_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("refunded_cents", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency_code", sa.String(), nullable=False),
        sa.Column("payment_status", sa.String(), nullable=False),
        sa.Column("stripe_payment_intent_id", sa.String(), nullable=False),
        sa.Column("next_action_url", sa.String(), nullable=True),
        sa.Column("workflow_id", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.invoice_id"], name=op.f("fk_payments_invoice_id_invoices")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_payments_user_id_users")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
        sa.UniqueConstraint(
            "stripe_payment_intent_id", name=op.f("uq_payments_stripe_payment_intent_id")
        ),
    )
    op.create_index(
        op.f("ix_payments_created_at_payment_id"),
        "payments",
        ["created_at", "payment_id"],
        unique=False,
    )
    op.create_index(op.f("ix_payments_invoice_id"), "payments", ["invoice_id"], unique=False)
    op.create_index(
        op.f("ix_payments_user_id_created_at_payment_id"),
        "payments",
        ["user_id", "created_at", "payment_id"],
        unique=False,
    )
