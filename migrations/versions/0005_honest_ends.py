"""How a run's answer ended, and the classes of tokens that have prices of their own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COUNTS = ("cached_prompt_token_count", "cache_write_token_count", "reasoning_token_count")


def upgrade() -> None:
    """Add columns with constant defaults, which rewrite no table."""
    op.add_column("agent_runs", sa.Column("finish_reason", sa.String(), nullable=True))
    for name in _COUNTS:
        column = sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        op.add_column("usage_records", column)


def downgrade() -> None:
    """Take the columns away again."""
    for name in reversed(_COUNTS):
        op.drop_column("usage_records", name)
    op.drop_column("agent_runs", "finish_reason")
