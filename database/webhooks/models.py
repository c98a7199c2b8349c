"""Table of the webhook inbox: columns, constraints and indexes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Index,
    LargeBinary,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class WebhookEvent(Base):
    """A webhook event of Stripe in the inbox; stored before the webhook is answered."""

    __tablename__ = "webhook_events"

    webhook_event_id: Mapped[UUID] = id_column()
    stripe_event_id: Mapped[str] = mapped_column(unique=True)
    event_type: Mapped[str]
    webhook_event_status: Mapped[str] = mapped_column(server_default="received")
    subscription_id: Mapped[UUID | None]
    payment_id: Mapped[UUID | None]
    # The payment intent that the event is about, while no payment with it is stored.
    awaited_stripe_id: Mapped[str | None]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    received_at: Mapped[datetime] = created_column()
    delivered_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime] = created_column()

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
