"""Files that runs make."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "run_artifacts",
        sa.Column("artifact_id", sa.Uuid(), nullable=False),
        sa.Column("agent_run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["agent_run_id"],
            ["agent_runs.agent_run_id"],
            name="fk_run_artifacts_agent_run_id_agent_runs",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_run_artifacts_user_id_users"
        ),
        sa.ForeignKeyConstraint(
            ["call_id"], ["tool_calls.call_id"], name="fk_run_artifacts_call_id_tool_calls"
        ),
        sa.PrimaryKeyConstraint("artifact_id", name="pk_run_artifacts"),
        sa.UniqueConstraint(
            "agent_run_id", "call_id", "name", name="uq_run_artifacts_agent_run_id_call_id_name"
        ),
    )
    op.create_index("ix_run_artifacts_user_id", "run_artifacts", ["user_id"])
    op.create_index("ix_run_artifacts_call_id", "run_artifacts", ["call_id"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("run_artifacts")
