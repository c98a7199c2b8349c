"""The import of a Stripe account: its customers, and why a payment retry is paused."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_IMPORTED = "ix_payment_retries_imported"


def upgrade() -> None:
    """Add a table, and a column without a default, which rewrites no table."""
    op.create_table(
        "imported_customers",
        sa.Column("stripe_customer_id", sa.String(), nullable=False),
        sa.Column("mapped_user_id", sa.Uuid(), nullable=True),
        sa.Column("import_status", sa.String(), nullable=False),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.Column("is_finished", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["mapped_user_id"],
            ["users.user_id"],
            name="fk_imported_customers_mapped_user_id_users",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("stripe_customer_id", name="pk_imported_customers"),
    )
    op.create_index(
        "ix_imported_customers_mapped_user_id", "imported_customers", ["mapped_user_id"]
    )
    op.add_column("payment_retries", sa.Column("paused_reason", sa.String(), nullable=True))
    is_imported = sa.text("paused_reason = 'imported'")
    op.create_index(
        _IMPORTED, "payment_retries", ["payment_retry_id"], postgresql_where=is_imported
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_index(_IMPORTED, "payment_retries")
    op.drop_column("payment_retries", "paused_reason")
    op.drop_table("imported_customers")
