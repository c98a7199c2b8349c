"""Reconciliations with Stripe, their findings, and how far they have come."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("now()")
_JSON = postgresql.JSONB(astext_type=sa.Text())
_INDEX = "ix_reconciliations_created_at_reconciliation_id"


def upgrade() -> None:
    """Create tables of their own; no other table is touched."""
    op.create_table(
        "reconciliations",
        _id("reconciliation_id"),
        sa.Column("reconciliation_scope", sa.String(), nullable=False),
        sa.Column("reconciliation_status", sa.String(), nullable=False),
        sa.Column("counts_data", _JSON, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("workflow_id", sa.String(), nullable=False),
        _time("created_at"),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("reconciliation_id", name=op.f("pk_reconciliations")),
    )
    op.create_index(op.f(_INDEX), "reconciliations", ["created_at", "reconciliation_id"])
    _create_repairs()
    op.create_table(
        "reconciliation_marks",
        _id("reconciliation_mark_id"),
        sa.Column("mark_name", sa.String(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("reconciliation_mark_id", name=op.f("pk_reconciliation_marks")),
        sa.UniqueConstraint("mark_name", name=op.f("uq_reconciliation_marks_mark_name")),
    )
    op.create_table(
        "listed_subscriptions",
        _id("listed_subscription_id"),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("reconciliation_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_listed_subscriptions_subscription_id_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("listed_subscription_id", name=op.f("pk_listed_subscriptions")),
        sa.UniqueConstraint(
            "subscription_id", name=op.f("uq_listed_subscriptions_subscription_id")
        ),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("listed_subscriptions")
    op.drop_table("reconciliation_marks")
    op.drop_table("reconciliation_repairs")
    op.drop_table("reconciliations")


def _create_repairs() -> None:
    op.create_table(
        "reconciliation_repairs",
        _id("reconciliation_repair_id"),
        sa.Column("reconciliation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("before_data", _JSON, nullable=True),
        sa.Column("after_data", _JSON, nullable=True),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.reconciliation_id"],
            name=op.f("fk_reconciliation_repairs_reconciliation_id_reconciliations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reconciliation_repair_id", name=op.f("pk_reconciliation_repairs")),
        sa.UniqueConstraint(
            "reconciliation_id",
            "kind",
            "resource_id",
            name=op.f("uq_reconciliation_repairs_reconciliation_id_kind_resource_id"),
        ),
    )


def _id(name: str) -> sa.Column[object]:
    default = sa.text("gen_random_uuid()")
    return sa.Column(name, sa.Uuid(), server_default=default, nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)
