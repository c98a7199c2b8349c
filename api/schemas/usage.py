"""Schemas of usage."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from api.schemas.entitlements import UsageWindowOut
from database.usage.models import MeterEvent, UsageAlert
from domain.plans import LimitWindow, Metric
from domain.subscriptions.lifecycle import Access
from domain.usage.metering import MeterEventStatus
from services.usage.entitlements import UsedEntitlements

SHOWN_COUNT = 100
_WINDOW: dict[str, Any] = {
    "per": "day",
    "limit": 200_000,
    "used": 230_000,
    "held": 230_000,
    "starts_at": "2026-11-29T00:00:00Z",
    "resets_at": "2026-11-30T00:00:00Z",
}


class UsageTotalOut(Output):
    """Usage by kind; each class of tokens is a part of the prompts or of the completions."""

    agent_run_count: int
    token_count: int
    prompt_token_count: int
    completion_token_count: int
    cached_prompt_token_count: int = Field(description="Part of `prompt_token_count`.")
    cache_write_token_count: int = Field(description="Part of `prompt_token_count`.")
    reasoning_token_count: int = Field(description="Part of `completion_token_count`.")
    cost_cents: float


class UsageAlertOut(Output):
    """The fact that a share of a limit was used within a window."""

    usage_alert_id: UUID
    metric: Metric
    threshold_percent: int
    limit_count: int
    used_count: float
    per: LimitWindow
    window_start: datetime
    created_at: datetime


class MeterEventOut(Output):
    """Usage beyond a limit, as it is reported to Stripe's meter."""

    meter_event_id: UUID
    subscription_id: UUID
    metric: Metric
    quantity: int
    per: LimitWindow
    window_start: datetime
    meter_event_status: MeterEventStatus
    attempt_count: int
    sent_at: datetime | None
    error_code: str | None
    error_message: str | None
    created_at: datetime


class CustomerUsageOut(Output):
    """What a customer has used in the current periods of their subscriptions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access": "full",
                    "period_start": "2026-11-01T09:00:00Z",
                    "period_end": "2026-12-01T09:00:00Z",
                    "total": {
                        "agent_run_count": 41,
                        "token_count": 230_000,
                        "prompt_token_count": 190_000,
                        "completion_token_count": 40_000,
                        "cached_prompt_token_count": 120_000,
                        "cache_write_token_count": 0,
                        "reasoning_token_count": 9_000,
                        "cost_cents": 71.5,
                    },
                    "windows": {"token_count": _WINDOW},
                    "overage_metrics": ["token_count"],
                    "alerts": [
                        {
                            "usage_alert_id": "0b0cf9b2-6f0e-4f0f-8ef3-7a3f8d2f1f10",
                            "metric": "token_count",
                            "threshold_percent": 100,
                            "limit_count": 200_000,
                            "used_count": 201_000,
                            "per": "day",
                            "window_start": "2026-11-29T00:00:00Z",
                            "created_at": "2026-11-29T10:00:00Z",
                        },
                    ],
                    "meter_events": [
                        {
                            "meter_event_id": "5b7bb4cd-8e2b-4a55-93ff-0e6ef3f1a0cd",
                            "subscription_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11",
                            "metric": "token_count",
                            "quantity": 30_000,
                            "per": "day",
                            "window_start": "2026-11-29T00:00:00Z",
                            "meter_event_status": "sent",
                            "attempt_count": 1,
                            "sent_at": "2026-11-29T10:00:06Z",
                            "error_code": None,
                            "error_message": None,
                            "created_at": "2026-11-29T10:00:00Z",
                        },
                    ],
                },
            ],
        },
    )

    access: Access
    period_start: datetime | None = Field(description="Start of the period that ends first.")
    period_end: datetime | None
    total: UsageTotalOut
    windows: dict[str, UsageWindowOut]
    overage_metrics: list[str] = Field(
        description="Kinds of usage that are billed beyond their limits instead of refused.",
    )
    alerts: list[UsageAlertOut] = Field(
        description="Limits of which 80 or 100 percent were used; the newest "
        f"{SHOWN_COUNT}, newest first.",
    )
    meter_events: list[MeterEventOut] = Field(
        description="Usage beyond limits, as reported to Stripe; the newest "
        f"{SHOWN_COUNT}, newest first. "
        "`rejected`: Stripe could not count it; `outcome_unknown`: it may be counted, and is not "
        "sent again.",
    )

    @classmethod
    def of(
        cls,
        found: UsedEntitlements,
        alerts: Sequence[UsageAlert],
        meter_events: Sequence[MeterEvent],
    ) -> "CustomerUsageOut":
        """Render the usage of a customer."""
        entitlements, booking = found.current.entitlements, found.current.booking
        total = found.by_window[LimitWindow.PERIOD]
        return cls(
            access=entitlements.access,
            period_start=booking[1] if booking else None,
            period_end=entitlements.resets_at,
            total=UsageTotalOut(
                **{name: getattr(total, name) for name in UsageTotalOut.model_fields}
            ),
            windows=UsageWindowOut.by_metric(found.metrics),
            overage_metrics=sorted(entitlements.overage_metrics),
            alerts=[UsageAlertOut.model_validate(row) for row in alerts],
            meter_events=[MeterEventOut.model_validate(row) for row in meter_events],
        )
