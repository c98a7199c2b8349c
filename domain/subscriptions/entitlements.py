"""Entitlements of a customer: access, features and limits over all subscriptions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.subscriptions.lifecycle import Access

_ORDER = (Access.FULL, Access.GRACE, Access.NONE)


class SubscriptionEntitlement(Frozen):
    """The entitlements of one subscription.

    Args:
        plan_id: Plan of the subscription.
        access: Current access.
        features: Features of the plan.
        limits: Limits of the plan, per period; a missing limit means unlimited.
        current_period_end: When the limits are reset, on Stripe's clock.
    """

    plan_id: UUID
    access: Access
    features: dict[str, Any] = {}
    limits: dict[str, int] = {}
    current_period_end: datetime | None = None


class Entitlements(Frozen):
    """The combined entitlements of all subscriptions of a customer."""

    access: Access
    features: dict[str, Any]
    limits: dict[str, int]
    resets_at: datetime | None


def combine_entitlements(grants: Sequence[SubscriptionEntitlement]) -> Entitlements:
    """Combine the entitlements of several subscriptions.

    The best access counts. Limits of different plans add up; several subscriptions of one plan
    count once. If one plan lacks a limit, there is none. The first value of a feature counts.

    Args:
        grants: One for each subscription; those without access are ignored.

    Returns:
        The combined entitlements.
    """
    open_runs_of_conversation = [grant for grant in grants if grant.access is not Access.NONE]
    features: dict[str, Any] = {}
    for grant in reversed(open_runs_of_conversation):
        features |= grant.features
    plans = {grant.plan_id: grant for grant in open_runs_of_conversation}.values()
    limited = set.intersection(*(set(grant.limits) for grant in plans)) if plans else set()
    ends = [
        grant.current_period_end
        for grant in open_runs_of_conversation
        if grant.current_period_end is not None
    ]
    return Entitlements(
        access=min(
            (grant.access for grant in open_runs_of_conversation),
            key=_ORDER.index,
            default=Access.NONE,
        ),
        features=features,
        limits={name: sum(grant.limits[name] for grant in plans) for name in sorted(limited)},
        resets_at=min(ends, default=None),
    )
