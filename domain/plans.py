"""Plans that customers can subscribe to: their values, limits and overage prices."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import field_serializer, field_validator, model_serializer, model_validator

from domain.base import Frozen
from domain.errors import InvalidInputError

# Three years, Stripe's longest interval: https://docs.stripe.com/api/prices/create
MAX_INTERVAL_COUNTS = {"day": 1_095, "week": 156, "month": 36, "year": 3}


class Metric(StrEnum):
    """The kinds of usage that are counted."""

    AGENT_RUN_COUNT = "agent_run_count"
    TOKEN_COUNT = "token_count"  # noqa: S105 - tokens of models
    COST_CENTS = "cost_cents"
    PROMPT_TOKEN_COUNT = "prompt_token_count"  # noqa: S105 - tokens of models
    COMPLETION_TOKEN_COUNT = "completion_token_count"  # noqa: S105 - tokens of models
    CACHED_PROMPT_TOKEN_COUNT = "cached_prompt_token_count"  # noqa: S105 - tokens of models
    CACHE_WRITE_TOKEN_COUNT = "cache_write_token_count"  # noqa: S105 - tokens of models
    REASONING_TOKEN_COUNT = "reasoning_token_count"  # noqa: S105 - tokens of models


# The metrics that a plan can limit; classes of tokens are only counted and billed.
LIMITED_METRICS = (Metric.AGENT_RUN_COUNT, Metric.TOKEN_COUNT, Metric.COST_CENTS)


class LimitWindow(StrEnum):
    """The time over which a limit counts usage: a clock hour or day in UTC, or a period."""

    HOUR = "hour"
    DAY = "day"
    PERIOD = "period"


class Limit(Frozen):
    """The most that may be used within a window; a plain number is a limit per period."""

    count: int
    per: LimitWindow = LimitWindow.PERIOD

    @model_validator(mode="before")
    @classmethod
    def _read_number(cls, value: Any) -> Any:
        return {"count": value} if isinstance(value, int) else value

    @model_serializer(mode="plain")
    def as_data(self) -> int | dict[str, Any]:
        """Return the limit as plans store and show it."""
        if self.per is LimitWindow.PERIOD:
            return self.count
        return {"count": self.count, "per": self.per.value}


class OveragePrice(Frozen):
    """The price of usage beyond a limit, in minor units per so many units; begun ones count."""

    unit_amount_decimal: Decimal
    unit_count: int = 1

    def is_same(self, other: "OveragePrice") -> bool:
        """Tell whether two prices charge the same."""
        return (self.unit_amount_decimal, self.unit_count) == (
            other.unit_amount_decimal,
            other.unit_count,
        )

    @field_serializer("unit_amount_decimal", when_used="json")
    def _without_exponent(self, amount: Decimal) -> str:
        return f"{amount:f}"

    @field_validator("unit_amount_decimal")
    @classmethod
    def _normalize(cls, amount: Decimal) -> Decimal:
        # Reason: 0.50 and 0.5 are the same price, and its text is part of ids and keys.
        return Decimal(f"{amount.normalize():f}")


class MeteredPrice(OveragePrice):
    """An overage price at Stripe: the metered price, and the meter that counts for it."""

    stripe_meter_id: str
    event_name: str
    stripe_price_id: str


class OverageTerms(Frozen):
    """Terms of a metered price to create.

    Args:
        overage_id: Our id of the price, to find it again after a lost answer.
        stripe_meter_id: Meter that counts what is billed.
        price: Amount and unit.
    """

    overage_id: UUID
    stripe_meter_id: str
    price: OveragePrice


class PriceSnapshot(Frozen):
    """Snapshot of a recurring price at Stripe; None stands for what a plan cannot have."""

    stripe_product_id: str
    is_active: bool
    amount_cents: int | None
    currency_code: str
    interval: str | None
    interval_count: int | None

    def differences(self, plan: "PlanRequest") -> tuple[str, ...]:
        """Return the names of the plan's fields that say something else than the price."""
        names = ("amount_cents", "currency_code", "interval", "interval_count")
        return tuple(name for name in names if getattr(self, name) != getattr(plan, name))


class PlanRequest(Frozen):
    """Values of a plan to create or change; in a change, None keeps the stored value.

    Args:
        stripe_price_id: Price at Stripe that a new plan takes over; None makes a new one.
    """

    code: str | None = None
    name: str | None = None
    amount_cents: int | None = None
    currency_code: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    trial_days: int | None = None
    features: dict[str, Any] | None = None
    limits: dict[str, Limit] | None = None
    overage: dict[Metric, OveragePrice] | None = None
    retry_policy: str | None = None
    is_active: bool | None = None
    is_stackable: bool | None = None
    is_trial_once_per_card: bool | None = None
    stripe_price_id: str | None = None


def overage_not_stackable() -> InvalidInputError:
    """Return the error for overage prices of a stackable plan."""
    message = "a stackable plan has no overage: each of its subscriptions would bill the same usage"
    return InvalidInputError(message, "overage_not_stackable")


def check_overage(overage: Mapping[Any, Any], *, is_stackable: bool) -> None:
    """Check that a plan may have overage prices.

    A meter counts by customer, so that all subscriptions with its price bill the same usage.

    Raises:
        InvalidInputError: The plan is stackable (`overage_not_stackable`).
    """
    if overage and is_stackable:
        raise overage_not_stackable()


def metered_prices(
    overage_data: Mapping[str, Any], stripe_overage_data: Mapping[str, Any]
) -> dict[Metric, MeteredPrice]:
    """Return the metered prices at Stripe of a plan's overage prices, by metric.

    Args:
        overage_data: The plan's overage prices.
        stripe_overage_data: The metered prices of present and former overage prices.
    """
    return {
        Metric(name): MeteredPrice.model_validate(stripe_overage_data[name])
        for name in overage_data
        if name in stripe_overage_data
    }


def metered_price_ids(
    overage_data: Mapping[str, Any], stripe_overage_data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the metered prices that a new subscription of a plan gets besides its licensed one.

    Args:
        overage_data: The plan's overage prices.
        stripe_overage_data: The metered prices of present and former overage prices.
    """
    prices = metered_prices(overage_data, stripe_overage_data)
    return tuple(prices[metric].stripe_price_id for metric in sorted(prices))
