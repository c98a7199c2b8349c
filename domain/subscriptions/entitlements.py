"""What a customer may use, over all of their subscriptions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.subscriptions.lifecycle import Access

_ORDER = (Access.FULL, Access.GRACE, Access.NONE)


class Grant(Frozen):
    """What one subscription brings.

    Args:
        plan_id: Its plan.
        access: What it entitles to at this moment.
        features: Of its plan.
        limits: Of its plan, per period; a missing one means none.
        current_period_end: When its limits begin anew, on Stripe's clock.
    """

    plan_id: UUID
    access: Access
    features: dict[str, Any] = {}
    limits: dict[str, int] = {}
    current_period_end: datetime | None = None


class Entitlements(Frozen):
    """What all subscriptions of a customer bring together."""

    access: Access
    features: dict[str, Any]
    limits: dict[str, int]
    resets_at: datetime | None


def combine(grants: Sequence[Grant]) -> Entitlements:
    """Put together what several subscriptions bring.

    The best access counts. Limits of different plans add up, copies of one plan never do; where
    one plan has no limit, there is none. A feature that several bring is taken from the first.

    Args:
        grants: One for each subscription; those without access bring nothing.

    Returns:
        What the customer may use.
    """
    open_ones = [grant for grant in grants if grant.access is not Access.NONE]
    features: dict[str, Any] = {}
    for grant in reversed(open_ones):
        features |= grant.features
    plans = {grant.plan_id: grant for grant in open_ones}.values()
    limited = set.intersection(*(set(grant.limits) for grant in plans)) if plans else set()
    ends = [grant.current_period_end for grant in open_ones if grant.current_period_end is not None]
    return Entitlements(
        access=min((grant.access for grant in open_ones), key=_ORDER.index, default=Access.NONE),
        features=features,
        limits={name: sum(grant.limits[name] for grant in plans) for name in sorted(limited)},
        resets_at=min(ends, default=None),
    )
