"""Tables of usage: columns, constraints and indexes."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column

# Reason: one token of a small model costs about a hundred-thousandth of a cent.
_CENTS = Numeric(20, 8)


class UsageRecord(Base):
    """The usage of one attempt at a model call, or the count of one admitted run.

    A record is `reserved` at its worst case before the call and `settled` after it, also if the
    attempt failed. It counts for the subscription and period in which the run was admitted.
    Unknown usage is estimated, and an unknown price is 0; both are flagged.
    """

    __tablename__ = "usage_records"

    usage_record_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    agent_run_id: Mapped[UUID] = mapped_column(ForeignKey("agent_runs.agent_run_id"))
    subscription_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subscriptions.subscription_id")
    )
    period_start: Mapped[datetime | None]
    usage_kind: Mapped[str]
    usage_status: Mapped[str]
    source_key: Mapped[str] = mapped_column(unique=True)
    step: Mapped[int | None]
    attempt: Mapped[int | None]
    model: Mapped[str | None]
    # `primary` or `fallback`; None in records of earlier releases, and of runs.
    provider_slot: Mapped[str | None]
    # Of a call by the provider's batch endpoint, its `BatchCall`; None for any other call.
    batch_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reserved_prompt_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    reserved_completion_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    reserved_cost_cents: Mapped[Decimal] = mapped_column(_CENTS, server_default=text("0"))
    prompt_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    completion_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    cached_prompt_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    cache_write_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    reasoning_token_count: Mapped[int] = mapped_column(server_default=text("0"))
    cost_cents: Mapped[Decimal] = mapped_column(_CENTS, server_default=text("0"))
    outcome: Mapped[str | None]
    is_priced: Mapped[bool] = mapped_column(server_default=text("true"))
    is_estimated: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = created_column()
    settled_at: Mapped[datetime | None]
    # When alerts and overage are next computed from the record; None if that is done.
    review_due_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "agent_run_id", "step", "attempt"),
        Index(None, "subscription_id", "period_start"),
        Index(None, "user_id", "created_at"),
        Index(
            "ix_usage_records_review_due_at",
            "review_due_at",
            postgresql_where=text("review_due_at IS NOT NULL"),
        ),
    )


class UsageAlert(Base):
    """The fact that a share of a limit was used within a window; stored once."""

    __tablename__ = "usage_alerts"

    usage_alert_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    metric: Mapped[str]
    threshold_percent: Mapped[int]
    limit_count: Mapped[int]
    used_count: Mapped[Decimal] = mapped_column(_CENTS)
    per: Mapped[str]
    window_start: Mapped[datetime]
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        UniqueConstraint("user_id", "metric", "per", "window_start", "threshold_percent"),
        Index(None, "user_id", "created_at", "usage_alert_id"),
    )


class MeterEvent(Base):
    """Usage beyond a limit that is reported to the meters of an outside system, each row once.

    The row's id is the identifier under which the meter counts it. `window_start` begins the window
    of the limit that was exceeded; the usage was booked on the subscription in `period_start`.
    """

    __tablename__ = "meter_events"

    meter_event_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id"))
    period_start: Mapped[datetime]
    metric: Mapped[str]
    per: Mapped[str]
    window_start: Mapped[datetime]
    quantity: Mapped[int]
    event_name: Mapped[str]
    stripe_customer_id: Mapped[str]
    meter_event_status: Mapped[str]
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    first_attempt_at: Mapped[datetime | None]
    # When the event is sent next; None once its outcome is known or given up.
    next_attempt_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        Index(None, "subscription_id", "metric", "window_start"),
        Index(None, "user_id", "created_at", "meter_event_id"),
        Index(
            "ix_meter_events_next_attempt_at",
            "next_attempt_at",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
    )
