"""Tables. Columns, constraints and indexes only; no behaviour."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base; every timestamp carries its zone, every dictionary is JSONB."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        int: BigInteger,
    }


def _id() -> Mapped[UUID]:
    return mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


# What `parked_data` holds when all is well; as a literal, so that the partial indexes serve.
NOTHING_PARKED: ColumnClause[Any] = literal_column("'[]'::jsonb")


def _parked() -> Mapped[list[dict[str, Any]]]:
    return mapped_column(server_default=text("'[]'::jsonb"))


def _parked_index(table: str, *columns: str) -> Index:
    is_parked = text("parked_data <> '[]'::jsonb")
    return Index(f"ix_{table}_parked", *columns, postgresql_where=is_parked)


class User(Base):
    """Somebody with an account."""

    __tablename__ = "users"

    user_id: Mapped[UUID] = _id()
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    password_hash: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default="user")
    external_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    # Counts the reads of the customer at Stripe: only the one that began last is written.
    customer_sync_count: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = _created()


class ApiKey(Base):
    """A long-lived credential; only its digest is kept."""

    __tablename__ = "api_keys"

    api_key_id: Mapped[UUID] = _id()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    name: Mapped[str]
    key_prefix: Mapped[str]
    key_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _created()
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "user_id", "created_at", "api_key_id"),)


class IdempotencyKey(Base):
    """One POST with an `Idempotency-Key`; kept 90 days."""

    __tablename__ = "idempotency_keys"

    idempotency_key_id: Mapped[UUID] = _id()
    caller_id: Mapped[UUID]
    path: Mapped[str]
    key: Mapped[str]
    body_sha256: Mapped[str]
    resource_id: Mapped[UUID]
    answer_status_code: Mapped[int | None]
    answer_data: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

    __table_args__ = (UniqueConstraint("caller_id", "path", "key"),)


class Plan(Base):
    """Something that can be subscribed to."""

    __tablename__ = "plans"

    plan_id: Mapped[UUID] = _id()
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    amount_cents: Mapped[int]
    currency_code: Mapped[str]
    interval: Mapped[str]
    interval_count: Mapped[int]
    trial_days: Mapped[int]
    features_data: Mapped[dict[str, Any]]
    limits_data: Mapped[dict[str, Any]]
    retry_policy: Mapped[str]
    stripe_product_id: Mapped[str]
    stripe_price_id: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_stackable: Mapped[bool] = mapped_column(server_default=text("false"))
    is_trial_once_per_card: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "created_at", "plan_id"),
        Index(None, "stripe_product_id"),
    )


class RetryPolicyVersion(Base):
    """One version of a retry policy; versions are never changed."""

    __tablename__ = "retry_policies"

    retry_policy_id: Mapped[UUID] = _id()
    name: Mapped[str]
    version: Mapped[int]
    policy_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _created()

    __table_args__ = (UniqueConstraint("name", "version"),)


class PaymentMethod(Base):
    """A card at Stripe, as a customer sees it."""

    __tablename__ = "payment_methods"

    payment_method_id: Mapped[UUID] = _id()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    stripe_payment_method_id: Mapped[str] = mapped_column(unique=True)
    brand: Mapped[str]
    last4: Mapped[str]
    exp_month: Mapped[int]
    exp_year: Mapped[int]
    fingerprint: Mapped[str | None]
    is_default: Mapped[bool]
    created_at: Mapped[datetime] = _created()
    detached_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "user_id", "created_at", "payment_method_id"),)


class Subscription(Base):
    """The view of one subscription; written by its mailbox only."""

    __tablename__ = "subscriptions"

    subscription_id: Mapped[UUID] = _id()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plans.plan_id"))
    quantity: Mapped[int]
    subscription_status: Mapped[str]
    is_written_off: Mapped[bool] = mapped_column(server_default=text("false"))
    # Whether a finalized invoice is open.
    is_owing: Mapped[bool] = mapped_column(server_default=text("false"))
    # Whether a command or a last resort has ended it, rather than Stripe.
    is_ended_by_us: Mapped[bool] = mapped_column(server_default=text("false"))
    trial_days: Mapped[int] = mapped_column(server_default=text("0"))
    trial_card_fingerprint: Mapped[str | None]
    trial_end: Mapped[datetime | None]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    grace_ends_at: Mapped[datetime | None]
    next_action_url: Mapped[str | None]
    # The steps that the mailbox still owes because they could not be taken.
    parked_data: Mapped[list[dict[str, Any]]] = _parked()
    stripe_price_id: Mapped[str | None]
    stripe_subscription_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_customer_id: Mapped[str | None]
    latest_invoice_id: Mapped[UUID | None]
    # When Stripe was first asked to make it; None if it never was.
    creation_sent_at: Mapped[datetime | None]
    workflow_id: Mapped[str]
    last_event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "subscription_id"),
        Index(None, "created_at", "subscription_id"),
        Index(None, "plan_id", "trial_card_fingerprint"),
        _parked_index("subscriptions", "created_at", "subscription_id"),
    )


class SubscriptionEvent(Base):
    """What happened to a subscription, in order.

    `source_key` is what made it happen (a Stripe event's id, a command's id, an attempt): the
    same thing told twice is one row.
    """

    __tablename__ = "subscription_events"

    subscription_event_id: Mapped[UUID] = _id()
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    seq: Mapped[int]
    kind: Mapped[str]
    summary: Mapped[str]
    event_data: Mapped[dict[str, Any]]
    source_key: Mapped[str]
    occurred_at: Mapped[datetime] = _created()

    __table_args__ = (
        UniqueConstraint("subscription_id", "seq"),
        UniqueConstraint("subscription_id", "source_key"),
    )


class Invoice(Base):
    """The view of one of Stripe's invoices."""

    __tablename__ = "invoices"

    invoice_id: Mapped[UUID] = _id()
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


class Payment(Base):
    """Money that moved, or was meant to."""

    __tablename__ = "payments"

    payment_id: Mapped[UUID] = _id()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    invoice_id: Mapped[UUID | None] = mapped_column(ForeignKey("invoices.invoice_id"))
    amount_cents: Mapped[int]
    refunded_cents: Mapped[int] = mapped_column(server_default=text("0"))
    currency_code: Mapped[str]
    payment_status: Mapped[str]
    stripe_payment_method_id: Mapped[str | None]
    stripe_payment_intent_id: Mapped[str | None] = mapped_column(unique=True)
    decline_code: Mapped[str | None]
    next_action_url: Mapped[str | None]
    parked_data: Mapped[list[dict[str, Any]]] = _parked()
    # When its cancel was answered; what is charged all the same after that is paid back.
    canceled_at: Mapped[datetime | None]
    workflow_id: Mapped[str | None]
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "payment_id"),
        Index(None, "created_at", "payment_id"),
        Index(None, "invoice_id"),
        _parked_index("payments", "created_at", "payment_id"),
    )


class Refund(Base):
    """Money on its way back; the row is there before Stripe is asked."""

    __tablename__ = "refunds"

    refund_id: Mapped[UUID] = _id()
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.payment_id"))
    amount_cents: Mapped[int]
    currency_code: Mapped[str]
    reason: Mapped[str]
    refund_status: Mapped[str]
    stripe_refund_id: Mapped[str | None] = mapped_column(unique=True)
    failure_code: Mapped[str | None]
    created_at: Mapped[datetime] = _created()
    completed_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "payment_id", "created_at"),)


class PaymentRetry(Base):
    """The recovery of one unpaid invoice; written by its workflow only."""

    __tablename__ = "payment_retries"

    payment_retry_id: Mapped[UUID] = _id()
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    stripe_invoice_id: Mapped[str] = mapped_column(unique=True)
    retry_status: Mapped[str]
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    # Why the last charge failed, or was not made.
    decline_code: Mapped[str | None]
    parked_data: Mapped[list[dict[str, Any]]] = _parked()
    policy_name: Mapped[str]
    policy_version: Mapped[int]
    workflow_id: Mapped[str]
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "payment_retry_id"),
        Index(None, "subscription_id", "created_at", "payment_retry_id"),
        Index(None, "created_at", "payment_retry_id"),
        _parked_index("payment_retries", "created_at", "payment_retry_id"),
    )


class CardOffer(Base):
    """A card that a customer has set while an invoice of theirs was unpaid."""

    __tablename__ = "card_offers"

    stripe_invoice_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_payment_method_id: Mapped[str]
    offered_at: Mapped[datetime] = _created()
    tried_at: Mapped[datetime | None]


class PaymentAttempt(Base):
    """One charge of one invoice: reserved before the call, settled after it.

    `attempt` numbers all charges of the invoice, Stripe's own first one being 0.
    """

    __tablename__ = "payment_attempts"

    payment_attempt_id: Mapped[UUID] = _id()
    payment_retry_id: Mapped[UUID] = mapped_column(ForeignKey("payment_retries.payment_retry_id"))
    attempt: Mapped[int]
    trigger: Mapped[str]
    outcome: Mapped[str]
    decline_code: Mapped[str | None]
    advice_code: Mapped[str | None]
    stripe_payment_method_id: Mapped[str | None]
    # By which the networks count; the payment method's id where it has none.
    card_fingerprint: Mapped[str | None]
    stripe_payment_intent_id: Mapped[str | None]
    stripe_charge_id_before: Mapped[str | None]
    attempted_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("payment_retry_id", "attempt"),
        Index(None, "card_fingerprint", "attempted_at"),
    )


class WebhookEvent(Base):
    """The inbox: what Stripe told us, kept before it is answered with 200."""

    __tablename__ = "webhook_events"

    webhook_event_id: Mapped[UUID] = _id()
    stripe_event_id: Mapped[str] = mapped_column(unique=True)
    event_type: Mapped[str]
    webhook_event_status: Mapped[str] = mapped_column(server_default="received")
    subscription_id: Mapped[UUID | None]
    payment_id: Mapped[UUID | None]
    # The payment intent that it is about, while no payment of ours is known by it.
    awaited_stripe_id: Mapped[str | None]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    received_at: Mapped[datetime] = _created()
    delivered_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime] = _created()

    __table_args__ = (
        Index(None, "received_at", "webhook_event_id"),
        Index(
            "ix_webhook_events_waiting",
            "next_attempt_at",
            postgresql_where=text("webhook_event_status = 'received'"),
        ),
        Index(
            "ix_webhook_events_awaiting",
            "awaited_stripe_id",
            postgresql_where=text("awaited_stripe_id IS NOT NULL"),
        ),
    )
