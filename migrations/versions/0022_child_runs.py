"""Runs that other runs begin, and their conversations."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CHILDREN = "ix_agent_runs_children"
_OF_ROOT = "ix_agent_runs_root_run_id"


def upgrade() -> None:
    """Add columns; a constant default rewrites no table."""
    for column in ("parent_run_id", "root_run_id"):
        op.add_column("agent_runs", sa.Column(column, sa.Uuid(), nullable=True))
        op.create_foreign_key(
            f"fk_agent_runs_{column}_agent_runs",
            "agent_runs",
            "agent_runs",
            [column],
            ["agent_run_id"],
        )
    op.create_index(
        _CHILDREN,
        "agent_runs",
        ["parent_run_id", "created_at", "agent_run_id"],
        postgresql_where=sa.text("parent_run_id IS NOT NULL"),
    )
    op.create_index(
        _OF_ROOT,
        "agent_runs",
        ["root_run_id"],
        postgresql_where=sa.text("root_run_id IS NOT NULL"),
    )
    op.add_column("conversations", sa.Column("root_conversation_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "fk_conversations_root_conversation_id_conversations",
        "conversations",
        "conversations",
        ["root_conversation_id"],
        ["conversation_id"],
    )
    is_child: sa.Column[bool] = sa.Column(
        "is_child", sa.Boolean(), server_default=sa.text("false"), nullable=False
    )
    op.add_column("conversations", is_child)


def downgrade() -> None:
    """Take them away again."""
    for column in ("is_child", "root_conversation_id"):
        op.drop_column("conversations", column)
    for index in (_OF_ROOT, _CHILDREN):
        op.drop_index(index, "agent_runs")
    for column in ("root_run_id", "parent_run_id"):
        op.drop_column("agent_runs", column)
