"""The inbox of approvals: their owners, who else may decide, and edited arguments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OWNERS = """
UPDATE approvals SET user_id = agent_runs.user_id FROM agent_runs
WHERE agent_runs.agent_run_id = approvals.agent_run_id
"""
_NEWEST = "ix_approvals_created_at_approval_id"
_OF_OWNER = "ix_approvals_user_id_created_at_approval_id"
_DELEGATED = "ix_approvals_delegated_to"


def upgrade() -> None:
    """Add columns without defaults, which rewrite no table; a worker of before writes no owner."""
    op.add_column("approvals", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("approvals", sa.Column("delegated_to", sa.Uuid(), nullable=True))
    op.add_column("approvals", sa.Column("asked_arguments_data", postgresql.JSONB(), nullable=True))
    for column in ("user_id", "delegated_to"):
        op.create_foreign_key(
            f"fk_approvals_{column}_users", "approvals", "users", [column], ["user_id"]
        )
    op.execute(_OWNERS)
    op.create_index(_NEWEST, "approvals", ["created_at", "approval_id"])
    op.create_index(_OF_OWNER, "approvals", ["user_id", "created_at", "approval_id"])
    is_delegated = sa.text("delegated_to IS NOT NULL")
    op.create_index(_DELEGATED, "approvals", ["delegated_to"], postgresql_where=is_delegated)


def downgrade() -> None:
    """Take them away again."""
    for index in (_DELEGATED, _OF_OWNER, _NEWEST):
        op.drop_index(index, "approvals")
    for column in ("asked_arguments_data", "delegated_to", "user_id"):
        op.drop_column("approvals", column)
