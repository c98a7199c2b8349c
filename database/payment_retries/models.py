"""Tables of payment retries: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column, parked_column, parked_index


class RetryPolicyVersion(Base):
    """One version of a retry policy; versions are never changed."""

    __tablename__ = "retry_policies"

    retry_policy_id: Mapped[UUID] = id_column()
    name: Mapped[str]
    version: Mapped[int]
    policy_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (UniqueConstraint("name", "version"),)


class PaymentRetry(Base):
    """The payment retry of one unpaid invoice; only its workflow writes it."""

    __tablename__ = "payment_retries"

    payment_retry_id: Mapped[UUID] = id_column()
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    stripe_invoice_id: Mapped[str] = mapped_column(unique=True)
    retry_status: Mapped[str]
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    # Why it is paused; None if it is not.
    paused_reason: Mapped[str | None]
    # Why the last charge failed or was not made.
    decline_code: Mapped[str | None]
    parked_data: Mapped[list[dict[str, Any]]] = parked_column()
    policy_name: Mapped[str]
    policy_version: Mapped[int]
    workflow_id: Mapped[str]
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "payment_retry_id"),
        Index(None, "subscription_id", "created_at", "payment_retry_id"),
        Index(None, "created_at", "payment_retry_id"),
        parked_index("payment_retries", "created_at", "payment_retry_id"),
        Index(
            "ix_payment_retries_imported",
            "payment_retry_id",
            postgresql_where=text("paused_reason = 'imported'"),
        ),
    )


class CardOffer(Base):
    """A card that a customer has set while an invoice was unpaid."""

    __tablename__ = "card_offers"

    stripe_invoice_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_payment_method_id: Mapped[str]
    offered_at: Mapped[datetime] = created_column()
    tried_at: Mapped[datetime | None]


class PaymentAttempt(Base):
    """One charge of an invoice: reserved before the call to Stripe, settled after it.

    `attempt` numbers all charges of the invoice; 0 is the first charge, made by Stripe.
    """

    __tablename__ = "payment_attempts"

    payment_attempt_id: Mapped[UUID] = id_column()
    payment_retry_id: Mapped[UUID] = mapped_column(ForeignKey("payment_retries.payment_retry_id"))
    attempt: Mapped[int]
    trigger: Mapped[str]
    outcome: Mapped[str]
    decline_code: Mapped[str | None]
    advice_code: Mapped[str | None]
    stripe_payment_method_id: Mapped[str | None]
    # Card networks count retries by it; the payment method's id if there is no fingerprint.
    card_fingerprint: Mapped[str | None]
    stripe_payment_intent_id: Mapped[str | None]
    stripe_charge_id_before: Mapped[str | None]
    attempted_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("payment_retry_id", "attempt"),
        Index(None, "card_fingerprint", "attempted_at"),
    )
