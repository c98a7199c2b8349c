"""Schemas of plans."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from api.schemas.common import (
    COUNT_MAX,
    MASKED,
    NO_CARD,
    WHOLE,
    Input,
    Name,
    Output,
)
from api.schemas.entitlements import LimitsOut
from api.schemas.retry_policies import PolicyName
from database.plans.models import Plan
from domain.payment_retries.policy import DEFAULT_POLICY_NAME
from domain.payments.money import AMOUNT_MAX, STEPS, CurrencyCode
from domain.plans import MAX_INTERVAL_COUNTS, LimitWindow, Metric

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"), NO_CARD]
Price = Annotated[int, Field(ge=0, le=AMOUNT_MAX), WHOLE]
TrialDays = Annotated[int, Field(ge=0, le=730), WHOLE]
StripePriceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,255}$"), NO_CARD]
FeatureName = Annotated[str, StringConstraints(min_length=1, max_length=100), NO_CARD]
FeatureText = Annotated[str, StringConstraints(max_length=500), MASKED]
Features = Annotated[dict[FeatureName, StrictBool | FeatureText], Field(max_length=100)]
LimitName = Literal["agent_run_count", "token_count", "cost_cents"]
LimitCount = Annotated[int, Field(ge=0, le=COUNT_MAX), WHOLE]


class WindowLimitIn(Input):
    """A limit within each hour or day of the clock, in UTC, or within each period."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"count": 9, "per": "hour"}]})

    count: LimitCount
    per: LimitWindow


Limits = Annotated[
    dict[LimitName, LimitCount | WindowLimitIn],
    Field(description="A plain number is a limit per period; a missing limit means unlimited."),
]

OverageName = Literal[
    "agent_run_count",
    "token_count",
    "cost_cents",
    "prompt_token_count",
    "completion_token_count",
    "cached_prompt_token_count",
    "cache_write_token_count",
    "reasoning_token_count",
]
# A text, as at Stripe, because many parsers of JSON round numbers.
OverageAmount = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,8}(\.[0-9]{1,12})?$", max_length=21)
]


class OverageIn(Input):
    """The price of usage beyond a limit."""

    unit_amount_decimal: OverageAmount = Field(
        description="Price of each begun unit, in minor units; up to 12 decimal places.",
    )
    unit_count: Annotated[int, Field(ge=1, le=COUNT_MAX), WHOLE] = Field(
        default=1,
        description="How much usage is one unit, for example 1000 tokens.",
    )


Overage = Annotated[
    dict[OverageName, OverageIn],
    Field(
        description="Prices of usage beyond the limits: usage of a kind that has one is not "
        "refused. Without a limit, all usage of the kind is billed. Not for stackable plans.",
    ),
]

_EXAMPLE: dict[str, Any] = {
    "code": "pro-monthly",
    "name": "Pro",
    "amount_cents": 2900,
    "currency_code": "usd",
    "interval": "month",
    "interval_count": 1,
    "trial_days": 0,
    "features": {"priority_support": True},
    "limits": {"agent_run_count": 500, "token_count": {"count": 200_000, "per": "day"}},
    "overage": {"token_count": {"unit_amount_decimal": "0.5", "unit_count": 1000}},
    "retry_policy": "default",
}


class NewPlan(Input):
    """A new plan; its product and price are created at Stripe, unless it takes over a price."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    code: Code
    name: Name
    amount_cents: Price = Field(description=STEPS)
    currency_code: CurrencyCode
    interval: Literal["day", "week", "month", "year"]
    interval_count: Annotated[int, Field(ge=1, le=max(MAX_INTERVAL_COUNTS.values())), WHOLE] = (
        Field(
            default=1,
            description="At most three years, as at Stripe: "
            + ", ".join(f"{most} {unit}s" for unit, most in MAX_INTERVAL_COUNTS.items())
            + ".",
        )
    )
    trial_days: TrialDays = 0
    features: Features = {}
    limits: Limits = {}
    overage: Overage = {}
    retry_policy: PolicyName = DEFAULT_POLICY_NAME
    is_stackable: StrictBool = Field(
        default=False,
        description="Whether a user may have several subscriptions of this plan at once.",
    )
    is_trial_once_per_card: StrictBool = Field(
        default=False,
        description="Whether a card gets only one trial of this plan, even if users share it.",
    )
    stripe_price_id: StripePriceId | None = Field(
        default=None,
        description="Price at Stripe that the plan takes over, with its product. Amount, currency "
        "and interval must be the same as there. By default a new price is made.",
    )

    @field_validator("interval_count")
    @classmethod
    def _check_interval(cls, count: int, info: ValidationInfo) -> int:
        most = MAX_INTERVAL_COUNTS.get(info.data.get("interval", ""))
        if most is not None and count > most:
            raise ValueError(f"the interval must be at most three years: {most} for this unit")
        return count


class PlanChangeIn(Input):
    """Changes of a plan; fields that are left out stay as they are.

    A new amount creates a new price; existing subscriptions keep theirs. So do overage prices:
    subscriptions that were created without one are refused beyond the limit.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"amount_cents": 3900}, {"is_active": False}]},
    )

    name: Name | None = None
    amount_cents: Price | None = Field(default=None, description=STEPS)
    trial_days: TrialDays | None = None
    features: Features | None = None
    limits: Limits | None = None
    overage: Overage | None = None
    retry_policy: PolicyName | None = None
    is_active: StrictBool | None = None
    is_stackable: StrictBool | None = None
    is_trial_once_per_card: StrictBool | None = None


class OverageOut(Output):
    """The price of usage beyond a limit."""

    unit_amount_decimal: str
    unit_count: int


class PlanOut(Output):
    """A plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11",
                    **_EXAMPLE,
                    "is_active": True,
                    "is_stackable": False,
                    "is_trial_once_per_card": False,
                    "stripe_product_id": "prod_R4kXw0dQ1aZs",
                    "stripe_price_id": "price_1QxB2eZvKYlo2C",
                    "created_at": "2026-11-01T09:00:00Z",
                    "updated_at": "2026-11-01T09:00:00Z",
                },
            ],
        },
    )

    plan_id: UUID
    code: str
    name: str
    amount_cents: int
    currency_code: str
    interval: str
    interval_count: int
    trial_days: int
    features: dict[str, Any]
    limits: LimitsOut
    overage: dict[Metric, OverageOut]
    retry_policy: str
    is_active: bool
    is_stackable: bool
    is_trial_once_per_card: bool
    stripe_product_id: str
    stripe_price_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Plan) -> "PlanOut":
        """Render the row of a plan."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        return cls(
            **facts,
            features=row.features_data,
            limits=row.limits_data,
            overage=row.overage_data,
        )
