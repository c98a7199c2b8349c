"""Tables of subscriptions: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column, parked_column, parked_index


class Subscription(Base):
    """The view of one subscription; only its workflow writes it."""

    __tablename__ = "subscriptions"

    subscription_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    # None for an adopted subscription whose price belongs to no plan of ours.
    plan_id: Mapped[UUID | None] = mapped_column(ForeignKey("plans.plan_id"))
    quantity: Mapped[int]
    subscription_status: Mapped[str]
    is_written_off: Mapped[bool] = mapped_column(server_default=text("false"))
    # Whether a finalized invoice is open.
    is_owing: Mapped[bool] = mapped_column(server_default=text("false"))
    # Whether a command or a last resort ended the subscription, not Stripe.
    is_ended_by_us: Mapped[bool] = mapped_column(server_default=text("false"))
    # Whether a schedule that is not ours manages the subscription at Stripe.
    is_managed_at_stripe: Mapped[bool] = mapped_column(server_default=text("false"))
    trial_days: Mapped[int] = mapped_column(server_default=text("0"))
    trial_card_fingerprint: Mapped[str | None]
    trial_end: Mapped[datetime | None]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    grace_ends_at: Mapped[datetime | None]
    # When a paused subscription is resumed by itself.
    resume_at: Mapped[datetime | None]
    next_action_url: Mapped[str | None]
    # Parked steps, as owed steps of the workflow.
    parked_data: Mapped[list[dict[str, Any]]] = parked_column()
    stripe_price_id: Mapped[str | None]
    # Meters of the metered items at Stripe: usage beyond their limits is billed.
    stripe_meter_ids: Mapped[list[str]] = mapped_column(
        ARRAY(String), server_default=text("'{}'::text[]")
    )
    # The discount that Stripe takes off, as a snapshot without its id.
    discount_data: Mapped[dict[str, Any] | None]
    # The change that waits for the end of the period: plan_id, stripe_price_id, quantity, at.
    scheduled_change_data: Mapped[dict[str, Any] | None]
    stripe_subscription_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_customer_id: Mapped[str | None]
    latest_invoice_id: Mapped[UUID | None]
    # The ended subscription that this one replaces.
    replaces_subscription_id: Mapped[UUID | None]
    # When Stripe was first asked to create it; None if never.
    creation_sent_at: Mapped[datetime | None]
    workflow_id: Mapped[str]
    last_event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "subscription_id"),
        Index(None, "created_at", "subscription_id"),
        Index(None, "plan_id", "trial_card_fingerprint"),
        parked_index("subscriptions", "created_at", "subscription_id"),
    )


class CheckoutSession(Base):
    """A page of Stripe's on which a user can subscribe to a plan; written before it is made.

    Its id is the one that the subscription will have.
    """

    __tablename__ = "checkout_sessions"

    subscription_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plans.plan_id"))
    trial_days: Mapped[int] = mapped_column(server_default=text("0"))
    checkout_status: Mapped[str] = mapped_column(server_default="open")
    # None until Stripe has answered.
    stripe_checkout_session_id: Mapped[str | None] = mapped_column(unique=True)
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        Index(
            "ix_checkout_sessions_open",
            "user_id",
            "plan_id",
            postgresql_where=text("checkout_status = 'open'"),
        ),
    )


class SubscriptionEvent(Base):
    """One event in the history of a subscription.

    `source_key` names the cause (a Stripe event's id, a command's id, an attempt), so that the same
    event is stored once.
    """

    __tablename__ = "subscription_events"

    subscription_event_id: Mapped[UUID] = id_column()
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    seq: Mapped[int]
    kind: Mapped[str]
    summary: Mapped[str]
    event_data: Mapped[dict[str, Any]]
    source_key: Mapped[str]
    occurred_at: Mapped[datetime] = created_column()

    __table_args__ = (
        UniqueConstraint("subscription_id", "seq"),
        UniqueConstraint("subscription_id", "source_key"),
    )


class Invoice(Base):
    """The view of one invoice at Stripe."""

    __tablename__ = "invoices"

    invoice_id: Mapped[UUID] = id_column()
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    stripe_invoice_id: Mapped[str] = mapped_column(unique=True)
    invoice_status: Mapped[str]
    billing_reason: Mapped[str | None]
    amount_due_cents: Mapped[int]
    amount_paid_cents: Mapped[int]
    currency_code: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    hosted_invoice_url: Mapped[str | None]
    invoiced_at: Mapped[datetime]

    __table_args__ = (Index(None, "subscription_id", "invoiced_at", "invoice_id"),)
