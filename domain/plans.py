"""Plans that customers can subscribe to."""

from typing import Any

from domain.base import Frozen

# Three years, Stripe's longest interval: https://docs.stripe.com/api/prices/create
MAX_INTERVAL_COUNTS = {"day": 1_095, "week": 156, "month": 36, "year": 3}


class PlanRequest(Frozen):
    """Values of a plan to create or change; in a change, None keeps the stored value."""

    code: str | None = None
    name: str | None = None
    amount_cents: int | None = None
    currency_code: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    trial_days: int | None = None
    features: dict[str, Any] | None = None
    limits: dict[str, int] | None = None
    retry_policy: str | None = None
    is_active: bool | None = None
    is_stackable: bool | None = None
    is_trial_once_per_card: bool | None = None
