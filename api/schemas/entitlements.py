"""Schemas of entitlements."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from domain.plans import Limit, LimitWindow, Metric
from domain.subscriptions.entitlements import Entitlements
from domain.subscriptions.lifecycle import Access
from domain.usage.windows import MetricUsage


class WindowLimitOut(Output):
    """A limit per hour or per day."""

    count: int
    per: LimitWindow


LimitsOut = dict[str, int | WindowLimitOut]


class UsedOut(Output):
    """Usage, each kind within the window of its limit; the current period without a limit."""

    agent_run_count: int = 0
    token_count: int = 0
    cost_cents: float = 0

    @classmethod
    def of(cls, metrics: tuple[MetricUsage, ...]) -> "UsedOut":
        """Render the usage of all metrics that can be limited."""
        used = {each.metric: each.used for each in metrics}
        return cls(
            agent_run_count=int(used[Metric.AGENT_RUN_COUNT]),
            token_count=int(used[Metric.TOKEN_COUNT]),
            cost_cents=float(used[Metric.COST_CENTS]),
        )


class UsageWindowOut(Output):
    """Usage of one metric within the window of its limit."""

    per: LimitWindow
    limit: int = Field(description="The most that may be used within the window.")
    used: float = Field(description="Settled usage within the window.")
    held: float = Field(
        description="What counts against the limit: settled usage, and the most that model calls "
        "under way may use.",
    )
    starts_at: datetime | None
    resets_at: datetime | None

    @classmethod
    def of(cls, usage: MetricUsage, limit: Limit) -> "UsageWindowOut":
        """Render the usage of a metric that has a limit."""
        return cls(
            per=limit.per,
            limit=limit.count,
            used=float(usage.used),
            held=float(usage.held),
            starts_at=usage.starts_at,
            resets_at=usage.resets_at,
        )

    @classmethod
    def by_metric(cls, metrics: tuple[MetricUsage, ...]) -> "dict[str, UsageWindowOut]":
        """Render the usage of all metrics that have a limit."""
        return {each.metric: cls.of(each, each.limit) for each in metrics if each.limit}


class EntitlementsOut(Output):
    """What a customer may use, over all their subscriptions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access": "full",
                    "features": {"priority_support": True},
                    "limits": {"agent_run_count": 500, "token_count": {"count": 9, "per": "hour"}},
                    "used": {"agent_run_count": 1, "token_count": 4, "cost_cents": 0},
                    "resets_at": "2026-12-01T09:00:00Z",
                    "windows": {
                        "agent_run_count": {
                            "per": "period",
                            "limit": 500,
                            "used": 1,
                            "held": 1,
                            "starts_at": "2026-11-01T09:00:00Z",
                            "resets_at": "2026-12-01T09:00:00Z",
                        },
                        "token_count": {
                            "per": "hour",
                            "limit": 9,
                            "used": 4,
                            "held": 4,
                            "starts_at": "2026-11-29T14:00:00Z",
                            "resets_at": "2026-11-29T15:00:00Z",
                        },
                    },
                },
            ],
        },
    )

    access: Access
    features: dict[str, Any]
    limits: LimitsOut = Field(
        description="A kind of usage that is missing here is unlimited. A plain number is a limit "
        "per period. Limits of several plans add up, in the longest of their windows.",
    )
    used: UsedOut
    resets_at: datetime | None = Field(description="When the limits per period are reset.")
    windows: dict[str, UsageWindowOut] = Field(
        description="The usage of each kind that has a limit, within the limit's window. Hours and "
        "days are those of the clock, in UTC.",
    )

    @classmethod
    def of(cls, entitlements: Entitlements, metrics: tuple[MetricUsage, ...]) -> "EntitlementsOut":
        """Render entitlements with their usage."""
        return cls(
            access=entitlements.access,
            features=entitlements.features,
            limits=entitlements.model_dump()["limits"],
            used=UsedOut.of(metrics),
            resets_at=entitlements.resets_at,
            windows=UsageWindowOut.by_metric(metrics),
        )
