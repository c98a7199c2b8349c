"""Sessions of log-ins and their tokens, password resets, counted log-ins, and lists of users."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add five tables and two indexes."""
    op.create_table(
        "login_sessions",
        sa.Column(
            "login_session_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.user_id"],
            name="fk_login_sessions_user_id_users",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("login_session_id", name="pk_login_sessions"),
    )
    op.create_index(
        "ix_login_sessions_user_id_created_at", "login_sessions", ["user_id", "created_at"]
    )
    op.create_table(
        "refresh_tokens",
        sa.Column(
            "refresh_token_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("login_session_id", sa.Uuid(), nullable=False),
        sa.Column("parent_sha256", sa.String(), nullable=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["login_session_id"],
            ["login_sessions.login_session_id"],
            name="fk_refresh_tokens_login_session_id_login_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("refresh_token_id", name="pk_refresh_tokens"),
        sa.UniqueConstraint("token_sha256", name="uq_refresh_tokens_token_sha256"),
    )
    op.create_index("ix_refresh_tokens_login_session_id", "refresh_tokens", ["login_session_id"])

    op.create_table(
        "password_resets",
        sa.Column(
            "password_reset_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.user_id"],
            name="fk_password_resets_user_id_users",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("password_reset_id", name="pk_password_resets"),
        sa.UniqueConstraint("token_sha256", name="uq_password_resets_token_sha256"),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_password_resets_{column}", "password_resets", [column])
    op.create_table(
        "login_attempts",
        sa.Column(
            "login_attempt_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login_attempt_id", name="pk_login_attempts"),
        sa.UniqueConstraint("key_sha256", name="uq_login_attempts_key_sha256"),
    )
    op.create_index("ix_login_attempts_window_start", "login_attempts", ["window_start"])
    op.create_table(
        "known_addresses",
        sa.Column(
            "known_address_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("known_address_id", name="pk_known_addresses"),
        sa.UniqueConstraint("key_sha256", name="uq_known_addresses_key_sha256"),
    )
    op.create_index("ix_known_addresses_last_login_at", "known_addresses", ["last_login_at"])
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_users_created_at_user_id",
            "users",
            ["created_at", "user_id"],
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_users_email_prefix",
            "users",
            ["email"],
            postgresql_ops={"email": "text_pattern_ops"},
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_users_email_prefix", "users")
    op.drop_index("ix_users_created_at_user_id", "users")
    op.drop_table("known_addresses")
    op.drop_table("password_resets")
    op.drop_table("login_attempts")
    op.drop_table("refresh_tokens")
    op.drop_table("login_sessions")
