"""Mails to send, and the language of a user's mails."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    """Add the table, and a column without a default, which rewrites no table."""
    op.add_column("users", sa.Column("locale", sa.String(), nullable=True))
    op.create_table(
        "due_mails",
        sa.Column(
            "due_mail_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("message_key", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("mail_kind", sa.String(), nullable=False),
        sa.Column("mail_status", sa.String(), server_default="due", nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("variables_data", postgresql.JSONB(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("next_attempt_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_due_mails_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("due_mail_id", name="pk_due_mails"),
        sa.UniqueConstraint("message_key", name="uq_due_mails_message_key"),
    )
    op.create_index("ix_due_mails_user_id", "due_mails", ["user_id"])
    op.create_index(
        "ix_due_mails_waiting",
        "due_mails",
        ["next_attempt_at"],
        postgresql_where=sa.text("mail_status = 'due'"),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("due_mails")
    op.drop_column("users", "locale")
