"""Subscriptions that were made at Stripe: without a plan of ours, found by our ids."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_RESOURCE_INDEX = "ix_idempotency_keys_resource_id"
_PRICE_INDEX = "ix_plans_stripe_price_id"


def upgrade() -> None:
    """Let the plan be absent, and build an index without a lock on the POSTs of the API."""
    op.alter_column("subscriptions", "plan_id", existing_type=sa.Uuid(), nullable=True)
    op.create_index(_PRICE_INDEX, "plans", ["stripe_price_id"])
    with op.get_context().autocommit_block():
        op.create_index(
            _RESOURCE_INDEX,
            "idempotency_keys",
            ["resource_id"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    """Go back; fails while there is a subscription without a plan."""
    op.drop_index(_RESOURCE_INDEX, "idempotency_keys")
    op.drop_index(_PRICE_INDEX, "plans")
    op.alter_column("subscriptions", "plan_id", existing_type=sa.Uuid(), nullable=False)
