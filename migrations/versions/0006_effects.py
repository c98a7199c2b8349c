"""What a call that waits for a yes would do."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a column that may be empty, which rewrites no table."""
    column = sa.Column("effect_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    op.add_column("approvals", column)


def downgrade() -> None:
    """Take it away again."""
    op.drop_column("approvals", "effect_data")
