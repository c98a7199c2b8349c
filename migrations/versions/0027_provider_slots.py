"""The provider of each call of a model."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a column."""
    op.add_column("usage_records", sa.Column("provider_slot", sa.String(), nullable=True))


def downgrade() -> None:
    """Take it away again."""
    op.drop_column("usage_records", "provider_slot")
