"""The cache of models' answers, and calls by the batch endpoint."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_EXPIRES = "ix_llm_cache_expires_at"
_REQUEST = "uq_llm_cache_user_id_request_sha256"


def upgrade() -> None:
    """Add a table, and columns whose defaults rewrite no table."""
    op.create_table(
        "llm_cache",
        sa.Column(
            "cached_answer_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("reply_data", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_llm_cache_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cached_answer_id", name="pk_llm_cache"),
        sa.UniqueConstraint("user_id", "request_sha256", name=_REQUEST),
    )
    op.create_index(_EXPIRES, "llm_cache", ["expires_at"])
    op.add_column("usage_records", sa.Column("batch_data", postgresql.JSONB(), nullable=True))
    urgency = sa.Column("urgency", sa.String(), server_default="normal", nullable=False)
    op.add_column("agent_runs", urgency)


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("agent_runs", "urgency")
    op.drop_column("usage_records", "batch_data")
    op.drop_table("llm_cache")
