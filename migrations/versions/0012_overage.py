"""Overage prices, alerts, and the meter events that report usage beyond a limit."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_REVIEW_INDEX = "ix_usage_records_review_due_at"
_DUE_INDEX = "ix_meter_events_next_attempt_at"
_NOW = sa.text("now()")


def _time(name: str, *, is_nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=is_nullable)


def _text(name: str, *, is_nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=is_nullable)


def _key(name: str) -> sa.Column[Any]:
    default = sa.text("gen_random_uuid()")
    return sa.Column(name, sa.Uuid(), server_default=default, nullable=False)


def _created() -> sa.Column[Any]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def _reference(column: str, table: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target}")
    return sa.ForeignKeyConstraint([column], [f"{target}.{column}"], name=name)


def upgrade() -> None:
    """Add columns with constant defaults or none, which rewrite no table, and two tables."""
    for name in ("overage_data", "stripe_overage_data"):
        default = sa.text("'{}'::jsonb")
        column = sa.Column(name, postgresql.JSONB(), server_default=default, nullable=False)
        op.add_column("plans", column)
    meters: sa.Column[Any] = sa.Column(
        "stripe_meter_ids",
        postgresql.ARRAY(sa.String()),
        server_default=sa.text("'{}'::text[]"),
        nullable=False,
    )
    op.add_column("subscriptions", meters)
    op.add_column("usage_records", _time("review_due_at"))
    is_due = sa.text("review_due_at IS NOT NULL")
    op.create_index(_REVIEW_INDEX, "usage_records", ["review_due_at"], postgresql_where=is_due)
    _create_alerts()
    _create_meter_events()


def _create_alerts() -> None:
    table = "usage_alerts"
    unique = ["user_id", "metric", "per", "window_start", "threshold_percent"]
    op.create_table(
        table,
        _key("usage_alert_id"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _text("metric"),
        sa.Column("threshold_percent", sa.BigInteger(), nullable=False),
        sa.Column("limit_count", sa.BigInteger(), nullable=False),
        sa.Column("used_count", sa.Numeric(20, 8), nullable=False),
        _text("per"),
        _time("window_start", is_nullable=False),
        _created(),
        _reference("user_id", table, "users"),
        sa.PrimaryKeyConstraint("usage_alert_id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint(*unique, name=op.f(f"uq_{table}_{'_'.join(unique)}")),
    )
    listed = ["user_id", "created_at", "usage_alert_id"]
    op.create_index(op.f(f"ix_{table}_{'_'.join(listed)}"), table, listed)


def _create_meter_events() -> None:
    table = "meter_events"
    op.create_table(
        table,
        _key("meter_event_id"),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        _time("period_start", is_nullable=False),
        _text("metric"),
        _text("per"),
        _time("window_start", is_nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        _text("event_name"),
        _text("stripe_customer_id"),
        _text("meter_event_status"),
        sa.Column("attempt_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _time("first_attempt_at"),
        _time("next_attempt_at"),
        _time("sent_at"),
        _text("error_code", is_nullable=True),
        _text("error_message", is_nullable=True),
        _created(),
        _reference("user_id", table, "users"),
        _reference("subscription_id", table, "subscriptions"),
        sa.PrimaryKeyConstraint("meter_event_id", name=op.f(f"pk_{table}")),
    )
    counted = ["subscription_id", "metric", "window_start"]
    op.create_index(op.f(f"ix_{table}_{'_'.join(counted)}"), table, counted)
    listed = ["user_id", "created_at", "meter_event_id"]
    op.create_index(op.f(f"ix_{table}_{'_'.join(listed)}"), table, listed)
    is_due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index(_DUE_INDEX, table, ["next_attempt_at"], postgresql_where=is_due)


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("meter_events")
    op.drop_table("usage_alerts")
    op.drop_index(_REVIEW_INDEX, "usage_records")
    op.drop_column("usage_records", "review_due_at")
    op.drop_column("subscriptions", "stripe_meter_ids")
    op.drop_column("plans", "stripe_overage_data")
    op.drop_column("plans", "overage_data")
