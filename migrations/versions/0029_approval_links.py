"""Links in mails by which people decide approvals, and where a decision was made."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add a table, and a column without a default, which rewrites no table."""
    op.add_column("approvals", sa.Column("decided_via", sa.String(), nullable=True))
    op.create_table(
        "approval_links",
        sa.Column(
            "approval_link_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("approval_id", sa.Uuid(), nullable=False),
        sa.Column("args_sha256", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["approval_id"],
            ["approvals.approval_id"],
            name="fk_approval_links_approval_id_approvals",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.user_id"],
            name="fk_approval_links_user_id_users",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("approval_link_id", name="pk_approval_links"),
        sa.UniqueConstraint("token_sha256", name="uq_approval_links_token_sha256"),
    )
    for column in ("approval_id", "user_id", "expires_at"):
        op.create_index(f"ix_approval_links_{column}", "approval_links", [column])


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("approval_links")
    op.drop_column("approvals", "decided_via")
