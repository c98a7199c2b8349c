"""Tables of reconciliation: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class Reconciliation(Base):
    """One comparison with Stripe; one of events only has a row if it found anything."""

    __tablename__ = "reconciliations"

    reconciliation_id: Mapped[UUID] = id_column()
    reconciliation_scope: Mapped[str]
    reconciliation_status: Mapped[str]
    # What was read, and what was found, by name.
    counts_data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    error_message: Mapped[str | None]
    workflow_id: Mapped[str]
    created_at: Mapped[datetime] = created_column()
    completed_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "created_at", "reconciliation_id"),)


class ReconciliationRepair(Base):
    """A finding of a reconciliation, and what was done about it."""

    __tablename__ = "reconciliation_repairs"

    reconciliation_repair_id: Mapped[UUID] = id_column()
    reconciliation_id: Mapped[UUID] = mapped_column(
        ForeignKey("reconciliations.reconciliation_id", ondelete="CASCADE")
    )
    kind: Mapped[str]
    resource_id: Mapped[str]
    action: Mapped[str]
    before_data: Mapped[dict[str, Any] | None]
    after_data: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = created_column()

    # Reason: an activity that is repeated finds the same again.
    __table_args__ = (UniqueConstraint("reconciliation_id", "kind", "resource_id"),)


class ReconciliationMark(Base):
    """How far something has come: `marked_at` may be on Stripe's clock, `updated_at` is on ours."""

    __tablename__ = "reconciliation_marks"

    reconciliation_mark_id: Mapped[UUID] = id_column()
    mark_name: Mapped[str] = mapped_column(unique=True)
    marked_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ListedSubscription(Base):
    """A subscription of ours that a running reconciliation has seen in Stripe's list."""

    __tablename__ = "listed_subscriptions"

    listed_subscription_id: Mapped[UUID] = id_column()
    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id"), unique=True
    )
    reconciliation_id: Mapped[UUID]
