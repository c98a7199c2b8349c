"""Tables of payments: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column, parked_column, parked_index


class PaymentMethod(Base):
    """A card that is stored at Stripe, as shown to its owner."""

    __tablename__ = "payment_methods"

    payment_method_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    stripe_payment_method_id: Mapped[str] = mapped_column(unique=True)
    brand: Mapped[str]
    last4: Mapped[str]
    exp_month: Mapped[int]
    exp_year: Mapped[int]
    fingerprint: Mapped[str | None]
    is_default: Mapped[bool]
    created_at: Mapped[datetime] = created_column()
    detached_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "user_id", "created_at", "payment_method_id"),)


class Payment(Base):
    """The view of one payment: a one-off payment, or a paid charge of an invoice."""

    __tablename__ = "payments"

    payment_id: Mapped[UUID] = id_column()
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
    parked_data: Mapped[list[dict[str, Any]]] = parked_column()
    # When its cancel was answered; a charge that succeeds after that is refunded.
    canceled_at: Mapped[datetime | None]
    workflow_id: Mapped[str | None]
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "user_id", "created_at", "payment_id"),
        Index(None, "created_at", "payment_id"),
        Index(None, "invoice_id"),
        parked_index("payments", "created_at", "payment_id"),
    )


class Refund(Base):
    """A refund of a payment; our own refunds are stored before the call to Stripe."""

    __tablename__ = "refunds"

    refund_id: Mapped[UUID] = id_column()
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.payment_id"))
    amount_cents: Mapped[int]
    currency_code: Mapped[str]
    reason: Mapped[str]
    refund_status: Mapped[str]
    stripe_refund_id: Mapped[str | None] = mapped_column(unique=True)
    failure_code: Mapped[str | None]
    created_at: Mapped[datetime] = created_column()
    completed_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "payment_id", "created_at"),)
