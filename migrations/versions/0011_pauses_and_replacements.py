"""When a paused subscription is resumed by itself, and which ended one another one replaces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add columns without a default, which rewrites no table."""
    resume_at = sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("subscriptions", resume_at)
    op.add_column("subscriptions", sa.Column("replaces_subscription_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("subscriptions", "replaces_subscription_id")
    op.drop_column("subscriptions", "resume_at")
