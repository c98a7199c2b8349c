"""Parked steps, what payment retries go by, rules of selling, events that wait for a payment."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PARKED = ("subscriptions", "payments", "payment_retries")
_KEYS = {
    "subscriptions": "subscription_id",
    "payments": "payment_id",
    "payment_retries": "payment_retry_id",
}


def upgrade() -> None:
    """Add columns with constant defaults, which rewrite no table, and one small table."""
    for table, column in _columns():
        op.add_column(table, column)
    op.drop_column("subscriptions", "parked_reason")
    op.create_table(
        "card_offers",
        sa.Column("stripe_invoice_id", sa.String(), nullable=False),
        sa.Column("stripe_payment_method_id", sa.String(), nullable=False),
        sa.Column(
            "offered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("stripe_invoice_id", name=op.f("pk_card_offers")),
    )
    # Reason: attempts made before went by the payment method's id; the networks' count goes on.
    op.execute("UPDATE payment_attempts SET card_fingerprint = stripe_payment_method_id")
    op.drop_index(op.f("ix_payment_attempts_stripe_payment_method_id_attempted_at"))
    for name, table, columns, where in _indexes():
        op.create_index(name, table, columns, unique=False, postgresql_where=where)


def downgrade() -> None:
    """Take all of it away again."""
    for name, table, _, _ in _indexes():
        op.drop_index(name, table_name=table)
    op.create_index(
        op.f("ix_payment_attempts_stripe_payment_method_id_attempted_at"),
        "payment_attempts",
        ["stripe_payment_method_id", "attempted_at"],
        unique=False,
    )
    op.drop_table("card_offers")
    op.add_column("subscriptions", sa.Column("parked_reason", sa.String(), nullable=True))
    for table, column in reversed(_columns()):
        op.drop_column(table, column.name)


def _columns() -> list[tuple[str, sa.Column[object]]]:
    return [
        ("users", _number("customer_sync_count")),
        ("plans", _flag("is_stackable")),
        ("plans", _flag("is_trial_once_per_card")),
        ("payment_methods", _text("fingerprint")),
        ("subscriptions", _flag("is_owing")),
        ("subscriptions", _flag("is_ended_by_us")),
        ("subscriptions", _number("trial_days")),
        ("subscriptions", _text("trial_card_fingerprint")),
        ("subscriptions", _text("stripe_price_id")),
        ("subscriptions", _time("creation_sent_at")),
        ("payments", _time("canceled_at")),
        ("payment_retries", _text("decline_code")),
        ("payment_attempts", _text("card_fingerprint")),
        ("webhook_events", _text("awaited_stripe_id")),
        *[(table, _list("parked_data")) for table in _PARKED],
    ]


def _indexes() -> list[tuple[str, str, list[str], sa.TextClause | None]]:
    is_parked = sa.text("parked_data <> '[]'::jsonb")
    return [
        (op.f("ix_plans_stripe_product_id"), "plans", ["stripe_product_id"], None),
        (
            op.f("ix_subscriptions_plan_id_trial_card_fingerprint"),
            "subscriptions",
            ["plan_id", "trial_card_fingerprint"],
            None,
        ),
        (
            op.f("ix_payment_attempts_card_fingerprint_attempted_at"),
            "payment_attempts",
            ["card_fingerprint", "attempted_at"],
            None,
        ),
        (
            "ix_webhook_events_awaiting",
            "webhook_events",
            ["awaited_stripe_id"],
            sa.text("awaited_stripe_id IS NOT NULL"),
        ),
        *[
            (f"ix_{table}_parked", table, ["created_at", _KEYS[table]], is_parked)
            for table in _PARKED
        ],
    ]


def _text(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.String(), nullable=True)


def _time(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _flag(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _number(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _list(name: str) -> "sa.Column[object]":
    kind = postgresql.JSONB(astext_type=sa.Text())
    return sa.Column(name, kind, server_default=sa.text("'[]'::jsonb"), nullable=False)
