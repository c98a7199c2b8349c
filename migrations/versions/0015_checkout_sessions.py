"""Pages of Stripe's on which users subscribe."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the table."""
    now, time = sa.text("now()"), sa.DateTime(timezone=True)
    op.create_table(
        "checkout_sessions",
        sa.Column(
            "subscription_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("trial_days", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("checkout_status", sa.String(), server_default="open", nullable=False),
        sa.Column("stripe_checkout_session_id", sa.String(), nullable=True),
        sa.Column("expires_at", time, nullable=True),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name="fk_checkout_sessions_user_id_users"
        ),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.plan_id"], name="fk_checkout_sessions_plan_id_plans"
        ),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_checkout_sessions"),
        sa.UniqueConstraint(
            "stripe_checkout_session_id", name="uq_checkout_sessions_stripe_checkout_session_id"
        ),
    )
    op.create_index(
        "ix_checkout_sessions_open",
        "checkout_sessions",
        ["user_id", "plan_id"],
        postgresql_where=sa.text("checkout_status = 'open'"),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("checkout_sessions")
