"""Answers that are JSON documents, and what is wrong with those that do not fit."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add two columns."""
    op.add_column("agent_runs", sa.Column("output_data", postgresql.JSONB(), nullable=True))
    op.add_column("messages", sa.Column("output_problem", sa.String(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("messages", "output_problem")
    op.drop_column("agent_runs", "output_data")
