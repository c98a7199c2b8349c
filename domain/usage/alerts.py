"""Alerts about limits of which a share is used. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from domain.base import Frozen
from domain.plans import LimitWindow, Metric
from domain.usage.windows import MetricUsage

# Shares of a limit that are told, in percent.
ALERT_PERCENTS = (80, 100)


class NewUsageAlert(Frozen):
    """A share of a limit that was used.

    Args:
        metric: What was used.
        threshold_percent: The share.
        limit_count: The limit.
        used_count: Usage when the alert was recorded.
        per: Kind of the window.
        window_start: When the window began.
    """

    metric: Metric
    threshold_percent: int
    limit_count: int
    used_count: Decimal
    per: LimitWindow
    window_start: datetime


def alerts_of(metrics: Iterable[MetricUsage]) -> Iterator[NewUsageAlert]:
    """Yield the alerts that usage calls for, also those that were recorded before.

    Args:
        metrics: Usage of each metric within the window of its limit; reservations do not count.
    """
    for usage in metrics:
        limit, starts_at = usage.limit, usage.starts_at
        if limit is None or starts_at is None or not usage.used:
            continue
        for percent in ALERT_PERCENTS:
            if usage.used * 100 >= limit.count * percent:
                yield NewUsageAlert(
                    metric=usage.metric,
                    threshold_percent=percent,
                    limit_count=limit.count,
                    used_count=usage.used,
                    per=limit.per,
                    window_start=starts_at,
                )
