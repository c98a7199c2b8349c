"""When the memory of a run is to be stored."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEX = "ix_agent_runs_memory_due_at"


def upgrade() -> None:
    """Add a column without a default, which rewrites no table, and an index of the few due rows."""
    due_at = sa.Column("memory_due_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("agent_runs", due_at)
    is_due = sa.text("memory_due_at IS NOT NULL")
    op.create_index(_INDEX, "agent_runs", ["memory_due_at"], postgresql_where=is_due)


def downgrade() -> None:
    """Take them away again."""
    op.drop_index(_INDEX, "agent_runs")
    op.drop_column("agent_runs", "memory_due_at")
