"""Windows over which limits count usage, and how much of a limit is used in each. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from domain.base import Frozen
from domain.plans import LIMITED_METRICS, Limit, LimitWindow, Metric
from domain.subscriptions.entitlements import Entitlements
from domain.usage.amounts import Allowance, WindowUsage

UsageByWindow = Mapping[LimitWindow, WindowUsage]


class MetricUsage(Frozen):
    """The usage of one metric within the window of its limit.

    Args:
        metric: What is counted.
        limit: The limit; None if there is none, and the period counts.
        used: Settled usage within the window.
        held: Usage within the window, including what calls under way have reserved.
        starts_at: When the window began; None if there is no period.
        resets_at: When the window ends; None if there is no period.
        has_overage: Whether usage beyond the limit is billed instead of refused.
    """

    metric: Metric
    limit: Limit | None
    used: Decimal
    held: Decimal
    starts_at: datetime | None
    resets_at: datetime | None
    has_overage: bool

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more may be used."""
        return self.limit is not None and not self.has_overage and self.held >= self.limit.count


def hour_of(at: datetime) -> datetime:
    """Return when the hour of a time began."""
    return at.replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """Return when the day of a time began; the time must be in UTC."""
    return hour_of(at).replace(hour=0)


def window_start_of(per: LimitWindow, at: datetime, period_start: datetime) -> datetime:
    """Return when the window began in which usage counts.

    Args:
        per: Kind of the window.
        at: Time of the usage, in UTC.
        period_start: Period on which it is booked.
    """
    match per:
        case LimitWindow.HOUR:
            return hour_of(at)
        case LimitWindow.DAY:
            return day_of(at)
        case LimitWindow.PERIOD:
            return period_start


def metric_usage(
    entitlements: Entitlements,
    by_window: UsageByWindow,
    at: datetime,
    period_start: datetime | None,
) -> tuple[MetricUsage, ...]:
    """Return the usage of all metrics that can be limited, each within the window of its limit.

    Args:
        entitlements: Entitlements of the customer.
        by_window: Usage in the hour, the day and the periods of the subscriptions.
        at: The time whose hour and day are counted, in UTC.
        period_start: When the period began that ends first.
    """
    bounds = {
        LimitWindow.HOUR: (hour_of(at), hour_of(at) + timedelta(hours=1)),
        LimitWindow.DAY: (day_of(at), day_of(at) + timedelta(days=1)),
        LimitWindow.PERIOD: (period_start, entitlements.resets_at),
    }
    found = []
    for metric in LIMITED_METRICS:
        limit = entitlements.limits.get(metric)
        per = limit.per if limit else LimitWindow.PERIOD
        starts_at, resets_at = bounds[per]
        found.append(
            MetricUsage(
                metric=metric,
                limit=limit,
                used=by_window[per].of(metric),
                held=by_window[per].held(metric),
                starts_at=starts_at,
                resets_at=resets_at,
                has_overage=metric in entitlements.overage_metrics,
            ),
        )
    return tuple(found)


def allowance_left(entitlements: Entitlements, by_window: UsageByWindow) -> Allowance:
    """Return what a model call may still use of the limits; a limit with overage sets no bound."""

    def left(metric: Metric) -> Decimal | None:
        limit = entitlements.limits.get(metric)
        if limit is None or metric in entitlements.overage_metrics:
            return None
        return max(Decimal(0), limit.count - by_window[limit.per].held(metric))

    tokens = left(Metric.TOKEN_COUNT)
    return Allowance(
        token_count=None if tokens is None else int(tokens),
        cost_cents=left(Metric.COST_CENTS),
    )
