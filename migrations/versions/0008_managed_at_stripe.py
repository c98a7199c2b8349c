"""Whether a schedule that is not ours manages a subscription at Stripe."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add a column with a constant default, which rewrites no table."""
    column: sa.Column[bool] = sa.Column(
        "is_managed_at_stripe", sa.Boolean(), server_default="false", nullable=False
    )
    op.add_column("subscriptions", column)


def downgrade() -> None:
    """Take it away again."""
    op.drop_column("subscriptions", "is_managed_at_stripe")
