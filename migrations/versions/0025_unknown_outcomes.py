"""An index of the tool calls whose outcome a person has to find out."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add an index."""
    op.create_index(
        "ix_tool_calls_outcome_unknown",
        "tool_calls",
        ["created_at", "call_id"],
        postgresql_where=sa.text("tool_call_status = 'outcome_unknown'"),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("ix_tool_calls_outcome_unknown", "tool_calls")
