"""Tables of webhooks in and out: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    func,
    literal_column,
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


class WebhookEndpoint(Base):
    """An endpoint of the team's own app, to which webhooks are sent."""

    __tablename__ = "webhook_endpoints"

    webhook_endpoint_id: Mapped[UUID] = id_column()
    # The administrator who made it, and who is told when it is switched off.
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"), index=True)
    url: Mapped[str]
    event_type_list: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[str]
    # Signs, too, until it expires.
    previous_secret: Mapped[str | None]
    previous_secret_expires_at: Mapped[datetime | None]
    # Id of the command that made the secret, so that the same command makes no other one.
    rotation_id: Mapped[UUID | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    # First failure since the last success.
    failing_since: Mapped[datetime | None]
    # When it was switched off because it failed for days; None if a person did it.
    switched_off_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (Index(None, "created_at", "webhook_endpoint_id"),)


class WebhookDelivery(Base):
    """One message for one endpoint; written by the triggers of the tables it tells of.

    It has no foreign key: whoever writes a fact must not wait for the row of an endpoint.
    """

    __tablename__ = "webhook_deliveries"

    webhook_delivery_id: Mapped[UUID] = id_column()
    webhook_endpoint_id: Mapped[UUID]
    # The same for all endpoints that get the message.
    webhook_message_id: Mapped[UUID]
    event_type: Mapped[str]
    resource_id: Mapped[UUID]
    seq: Mapped[int]
    event_data: Mapped[dict[str, Any]]
    delivery_status: Mapped[str] = mapped_column(server_default="pending")
    # Whether the endpoint's workflow was told of it.
    is_announced: Mapped[bool] = mapped_column(server_default=text("false"))
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    # On Temporal's clock; None before the first attempt, which is due at once.
    next_attempt_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "ix_webhook_deliveries_listed",
            "webhook_endpoint_id",
            "created_at",
            "webhook_delivery_id",
        ),
        Index(
            "ix_webhook_deliveries_pending",
            "webhook_endpoint_id",
            "resource_id",
            "seq",
            postgresql_where=text("delivery_status = 'pending'"),
        ),
        Index(
            "ix_webhook_deliveries_unannounced",
            "created_at",
            postgresql_where=text("NOT is_announced"),
        ),
        Index(
            "ix_webhook_deliveries_settled",
            "created_at",
            postgresql_where=text("delivery_status <> 'pending'"),
        ),
    )


# Whether a delivery is pending; a literal, so that PostgreSQL can use the partial index.
IS_PENDING: ColumnElement[bool] = WebhookDelivery.delivery_status == literal_column("'pending'")


class WebhookSequence(Base):
    """The number of the last event of one resource."""

    __tablename__ = "webhook_sequences"

    resource_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
