"""Webhooks that go out: endpoints, deliveries, and the triggers that write deliveries."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


class Told(NamedTuple):
    """A table whose rows are told of.

    Args:
        family: First part of the event types.
        table: Name of the table.
        status: Column of the status.
        first_status: Status for which `created` alone is told.
        columns: Columns that are told, beside the status.
    """

    family: str
    table: str
    status: str
    first_status: str
    columns: tuple[str, ...]


TOLD = (
    Told(
        "subscription",
        "subscriptions",
        "subscription_status",
        "incomplete",
        (
            *("subscription_id", "user_id", "plan_id", "quantity", "is_written_off", "trial_end"),
            *("current_period_start", "current_period_end", "cancel_at", "canceled_at"),
            *("grace_ends_at", "resume_at", "latest_invoice_id", "stripe_subscription_id"),
            *("stripe_price_id", "replaces_subscription_id"),
        ),
    ),
    Told(
        "invoice",
        "invoices",
        "invoice_status",
        "draft",
        (
            *("invoice_id", "subscription_id", "user_id", "stripe_invoice_id"),
            *("amount_due_cents", "amount_paid_cents", "currency_code"),
            *("period_start", "period_end"),
        ),
    ),
    Told(
        "payment",
        "payments",
        "payment_status",
        "pending",
        (
            *("payment_id", "user_id", "invoice_id", "amount_cents", "refunded_cents"),
            *("currency_code", "decline_code", "stripe_payment_intent_id"),
        ),
    ),
    Told(
        "payment_retry",
        "payment_retries",
        "retry_status",
        "waiting",
        (
            *("payment_retry_id", "subscription_id", "user_id", "stripe_invoice_id"),
            *("attempt_count", "next_attempt_at", "decline_code"),
        ),
    ),
    Told(
        "agent_run",
        "agent_runs",
        "run_status",
        "queued",
        (
            *("agent_run_id", "user_id", "conversation_id", "agent", "subscription_id"),
            *("finish_reason", "error_code", "started_at", "completed_at"),
        ),
    ),
)
# Reason: the counter's row is locked until the commit, so events of one resource commit in order.
_TELL_EVENT = """
CREATE FUNCTION tell_event(told_type text, told_id uuid, told_facts jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    next_seq bigint;
    message uuid := gen_random_uuid();
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints WHERE is_active) THEN
        RETURN;
    END IF;
    INSERT INTO webhook_sequences AS known (resource_id, last_seq) VALUES (told_id, 1)
    ON CONFLICT (resource_id) DO UPDATE SET last_seq = known.last_seq + 1
    RETURNING last_seq INTO next_seq;
    INSERT INTO webhook_deliveries
        (webhook_endpoint_id, webhook_message_id, event_type, resource_id, seq, event_data)
    SELECT webhook_endpoint_id, message, told_type, told_id, next_seq, told_facts
    FROM webhook_endpoints
    WHERE is_active
        AND event_type_list && ARRAY['*', split_part(told_type, '.', 1) || '.*', told_type];
END $$
"""
_TELL_ROW = """
CREATE FUNCTION tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    family text := TG_ARGV[0];
    status_name text := TG_ARGV[1];
    first_status text := TG_ARGV[2];
    told text[] := string_to_array(TG_ARGV[3], ',');
    after jsonb;
    before jsonb;
    facts jsonb;
    resource uuid;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints WHERE is_active) THEN
        RETURN NULL;
    END IF;
    after := to_jsonb(NEW);
    resource := (after ->> (family || '_id'))::uuid;
    SELECT jsonb_object_agg(name, after -> name) INTO facts FROM unnest(told) AS name;
    IF TG_OP = 'INSERT' THEN
        PERFORM tell_event(family || '.created', resource, facts);
        IF after ->> status_name <> first_status THEN
            PERFORM tell_event(family || '.' || (after ->> status_name), resource, facts);
        END IF;
        RETURN NULL;
    END IF;
    before := to_jsonb(OLD);
    SELECT facts || jsonb_build_object('previous', jsonb_object_agg(name, before -> name))
    INTO facts FROM unnest(told) AS name WHERE before -> name IS DISTINCT FROM after -> name;
    IF before -> status_name IS DISTINCT FROM after -> status_name THEN
        PERFORM tell_event(family || '.' || (after ->> status_name), resource, facts);
    ELSE
        PERFORM tell_event(family || '.updated', resource, facts);
    END IF;
    RETURN NULL;
END $$
"""
# What is told of a subscription although no column changes: kinds of its events.
TOLD_KINDS = ("trial_will_end", "grace_ended", "resume_failed")
_TELL_KIND = """
CREATE FUNCTION tell_subscription_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_event(
        'subscription.' || NEW.kind,
        NEW.subscription_id,
        NEW.event_data || jsonb_build_object(
            'subscription_id', NEW.subscription_id,
            'user_id', (SELECT user_id FROM subscriptions
                        WHERE subscription_id = NEW.subscription_id)
        )
    );
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create the tables, which are new, then functions and triggers, which rewrite nothing."""
    op.create_table(
        "webhook_endpoints",
        _id("webhook_endpoint_id"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("event_type_list", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("previous_secret", sa.String()),
        _time("previous_secret_expires_at"),
        sa.Column("rotation_id", sa.Uuid()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _time("failing_since"),
        _time("switched_off_at"),
        _time("created_at", "now()"),
        _time("updated_at", "now()"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"]),
        sa.PrimaryKeyConstraint("webhook_endpoint_id"),
    )
    op.create_index(
        "ix_webhook_endpoints_created_at_webhook_endpoint_id",
        "webhook_endpoints",
        ["created_at", "webhook_endpoint_id"],
    )
    op.create_index("ix_webhook_endpoints_user_id", "webhook_endpoints", ["user_id"])
    _create_deliveries()
    op.create_table(
        "webhook_sequences",
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id"),
    )
    op.execute(_TELL_EVENT)
    op.execute(_TELL_ROW)
    op.execute(_TELL_KIND)
    for told in TOLD:
        _create_triggers(told)
    kinds = ", ".join(f"'{kind}'" for kind in TOLD_KINDS)
    op.execute(
        "CREATE TRIGGER tell_subscription_event AFTER INSERT ON subscription_events"
        f" FOR EACH ROW WHEN (NEW.kind IN ({kinds})) EXECUTE FUNCTION tell_subscription_event()"
    )


def downgrade() -> None:
    """Take them away again."""
    for told in TOLD:
        for event in ("insert", "update"):
            op.execute(f"DROP TRIGGER tell_{told.family}_{event} ON {told.table}")
    op.execute("DROP TRIGGER tell_subscription_event ON subscription_events")
    op.execute("DROP FUNCTION tell_subscription_event()")
    op.execute("DROP FUNCTION tell_row()")
    op.execute("DROP FUNCTION tell_event(text, uuid, jsonb)")
    for table in ("webhook_sequences", "webhook_deliveries", "webhook_endpoints"):
        op.drop_table(table)


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        _id("webhook_delivery_id"),
        sa.Column("webhook_endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_message_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("delivery_status", sa.String(), server_default="pending", nullable=False),
        sa.Column("is_announced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _time("next_attempt_at"),
        sa.Column("response_status", sa.BigInteger()),
        sa.Column("last_error", sa.String()),
        _time("created_at", "clock_timestamp()"),
        _time("delivered_at"),
        sa.PrimaryKeyConstraint("webhook_delivery_id"),
    )
    parts = {
        "pending": (["webhook_endpoint_id", "resource_id", "seq"], "delivery_status = 'pending'"),
        "unannounced": (["created_at"], "NOT is_announced"),
        "settled": (["created_at"], "delivery_status <> 'pending'"),
    }
    for name, (columns, where) in parts.items():
        op.create_index(
            f"ix_webhook_deliveries_{name}",
            "webhook_deliveries",
            columns,
            postgresql_where=sa.text(where),
        )
    op.create_index(
        "ix_webhook_deliveries_listed",
        "webhook_deliveries",
        ["webhook_endpoint_id", "created_at", "webhook_delivery_id"],
    )


def _create_triggers(told: Told) -> None:
    columns = (*told.columns, told.status)
    call = (
        f"tell_row('{told.family}', '{told.status}', '{told.first_status}', '{','.join(columns)}')"
    )
    before, after = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
    head = f"CREATE TRIGGER tell_{told.family}"
    op.execute(f"{head}_insert AFTER INSERT ON {told.table} FOR EACH ROW EXECUTE FUNCTION {call}")
    op.execute(
        f"{head}_update AFTER UPDATE OF {', '.join(columns)} ON {told.table} FOR EACH ROW"
        f" WHEN (ROW({before}) IS DISTINCT FROM ROW({after})) EXECUTE FUNCTION {call}"
    )


def _id(name: str) -> sa.Column[object]:
    default = sa.text("gen_random_uuid()")
    return sa.Column(name, sa.Uuid(), server_default=default, nullable=False)


def _time(name: str, default: str | None = None) -> sa.Column[object]:
    at = sa.DateTime(timezone=True)
    if default is None:
        return sa.Column(name, at, nullable=True)
    return sa.Column(name, at, server_default=sa.text(default), nullable=False)
