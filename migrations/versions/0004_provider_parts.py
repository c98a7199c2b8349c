"""What a provider sent with a message and wants back with it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a column without a default, which rewrites no table."""
    kind = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("messages", sa.Column("provider_data", kind, nullable=True))


def downgrade() -> None:
    """Take it away again."""
    op.drop_column("messages", "provider_data")
