"""Entitlements of a customer: access, features and limits over all subscriptions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.plans import Limit, LimitWindow
from domain.subscriptions.lifecycle import Access

_ORDER = (Access.FULL, Access.GRACE, Access.NONE)
_WINDOWS = (LimitWindow.HOUR, LimitWindow.DAY, LimitWindow.PERIOD)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
# Period of a subscription whose period is not known yet.
_UNKNOWN_PERIOD = timedelta(days=31)


class SubscriptionEntitlement(Frozen):
    """The entitlements of one subscription.

    Args:
        plan_id: Plan of the subscription.
        access: Current access.
        features: Features of the plan.
        limits: Limits of the plan; a missing limit means unlimited.
        overage_metrics: Metrics whose usage beyond the limit is billed instead of refused.
        current_period_start: When the period began, on Stripe's clock.
        current_period_end: When limits per period are reset, on Stripe's clock.
    """

    plan_id: UUID
    access: Access
    features: dict[str, Any] = {}
    limits: dict[str, Limit] = {}
    overage_metrics: frozenset[str] = frozenset()
    current_period_start: datetime | None = None
    current_period_end: datetime | None = None

    @property
    def period(self) -> timedelta:
        """Length of the current period."""
        if self.current_period_start is None or self.current_period_end is None:
            return _UNKNOWN_PERIOD
        return self.current_period_end - self.current_period_start


class Entitlements(Frozen):
    """The combined entitlements of all subscriptions of a customer."""

    access: Access
    features: dict[str, Any]
    limits: dict[str, Limit]
    overage_metrics: frozenset[str] = frozenset()
    resets_at: datetime | None


def combine_entitlements(grants: Sequence[SubscriptionEntitlement]) -> Entitlements:
    """Combine the entitlements of several subscriptions.

    The best access counts. Limits of different plans add up; several subscriptions of one plan
    count once. If one plan lacks a limit, there is none. The first value of a feature counts. A
    limit that one subscription bills beyond is not refused.

    Args:
        grants: One for each subscription; those without access are ignored.

    Returns:
        The combined entitlements.
    """
    with_access = [grant for grant in grants if grant.access is not Access.NONE]
    features: dict[str, Any] = {}
    for grant in reversed(with_access):
        features |= grant.features
    plans = {grant.plan_id: grant for grant in with_access}.values()
    limited = set.intersection(*(set(grant.limits) for grant in plans)) if plans else set()
    ends = [each.current_period_end for each in with_access if each.current_period_end is not None]
    return Entitlements(
        access=min((each.access for each in with_access), key=_ORDER.index, default=Access.NONE),
        features=features,
        limits={name: _added_up(name, list(plans)) for name in sorted(limited)},
        overage_metrics=frozenset().union(*(each.overage_metrics for each in with_access)),
        resets_at=min(ends, default=None),
    )


def _added_up(name: str, plans: Sequence[SubscriptionEntitlement]) -> Limit:
    """Add up one limit of several plans, in the longest of their windows."""
    longest = max((grant.limits[name].per for grant in plans), key=_WINDOWS.index)
    count = sum(
        grant.limits[name].count * _count_within(grant.limits[name].per, longest, grant.period)
        for grant in plans
    )
    return Limit(count=count, per=longest)


def _count_within(short: LimitWindow, long: LimitWindow, period: timedelta) -> int:
    """Return how many windows of one kind lie within one of another kind, begun ones included."""
    if short is long:
        return 1
    whole = _DAY if long is LimitWindow.DAY else period
    return -(-whole // (_HOUR if short is LimitWindow.HOUR else _DAY))
