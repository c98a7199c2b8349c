"""Schedules that start runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "run_schedules",
        sa.Column(
            "run_schedule_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("input", sa.String(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("budget_token_count", sa.BigInteger(), nullable=True),
        sa.Column("budget_cost_cents", sa.BigInteger(), nullable=True),
        sa.Column("on_budget", sa.String(), nullable=False),
        sa.Column("last_agent_run_id", sa.Uuid(), nullable=True),
        sa.Column("last_error_code", sa.String(), nullable=True),
        sa.Column("last_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_run_schedules_user_id_users"
        ),
        sa.PrimaryKeyConstraint("run_schedule_id", name="pk_run_schedules"),
    )
    op.create_index(
        "ix_run_schedules_user_id_created_at_run_schedule_id",
        "run_schedules",
        ["user_id", "created_at", "run_schedule_id"],
    )
    op.create_index(
        "ix_run_schedules_created_at_run_schedule_id",
        "run_schedules",
        ["created_at", "run_schedule_id"],
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("run_schedules")
