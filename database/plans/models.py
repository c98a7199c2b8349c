"""Table of plans: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Index,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class Plan(Base):
    """A plan that customers can subscribe to."""

    __tablename__ = "plans"

    plan_id: Mapped[UUID] = id_column()
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    amount_cents: Mapped[int]
    currency_code: Mapped[str]
    interval: Mapped[str]
    interval_count: Mapped[int]
    trial_days: Mapped[int]
    features_data: Mapped[dict[str, Any]]
    limits_data: Mapped[dict[str, Any]]
    # Overage prices by metric, and their metered prices at Stripe; a price that was taken away is
    # kept there, because subscriptions may still have it.
    overage_data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    stripe_overage_data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    retry_policy: Mapped[str]
    stripe_product_id: Mapped[str]
    stripe_price_id: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_stackable: Mapped[bool] = mapped_column(server_default=text("false"))
    is_trial_once_per_card: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = created_column()
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        Index(None, "created_at", "plan_id"),
        Index(None, "stripe_product_id"),
        Index(None, "stripe_price_id"),
    )
