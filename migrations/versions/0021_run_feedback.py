"""What users think of the answers of runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("now()")


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "run_feedback",
        sa.Column(
            "run_feedback_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("prompt_version", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("cost_cents", sa.Numeric(20, 8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name="fk_run_feedback_agent_run_id_agent_runs",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_run_feedback_user_id_users"
        ),
        sa.PrimaryKeyConstraint("run_feedback_id", name="pk_run_feedback"),
        sa.UniqueConstraint("agent_run_id", "user_id", name="uq_run_feedback_agent_run_id_user_id"),
    )
    op.create_index(
        "ix_run_feedback_agent_prompt_version", "run_feedback", ["agent", "prompt_version"]
    )
    op.create_index("ix_run_feedback_user_id", "run_feedback", ["user_id"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("run_feedback")
