"""The discount of a subscription, and the change that waits for the end of its period."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COLUMNS = ("discount_data", "scheduled_change_data")


def upgrade() -> None:
    """Add columns without a default, which rewrites no table."""
    for name in _COLUMNS:
        op.add_column("subscriptions", sa.Column(name, postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    for name in reversed(_COLUMNS):
        op.drop_column("subscriptions", name)
