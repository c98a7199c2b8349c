"""Schemas of changes of a subscription: plan, quantity and their previews."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from api.schemas.common import NO_CARD, WHOLE, Input, Output
from api.schemas.plans import TrialDays
from domain.payments.money import AMOUNT_MAX
from domain.subscriptions.previews import ChangePreview, ChangeRequest, PreviewLine

_PLAN_ID = "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11"
Quantity = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
COUPON_PATTERN = r"^[A-Za-z0-9_-]{1,200}$"
Coupon = Annotated[str, Field(pattern=COUPON_PATTERN), NO_CARD]
PromotionCode = Annotated[str, Field(pattern=COUPON_PATTERN), NO_CARD]


def _text(value: Any) -> Any:
    # Reason: pydantic would read a number as seconds, which the schema does not allow.
    if not isinstance(value, str | datetime):
        raise ValueError("a date and time is required")  # noqa: TRY004 - only this becomes a 422
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_text)]


class ChangePlanIn(Input):
    """Another plan or quantity, at once or at the end of the period."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"plan_id": _PLAN_ID},
                {"quantity": 5, "proration_date": "2026-11-15T12:00:00Z"},
                {"plan_id": _PLAN_ID, "quantity": 2, "when": "at_period_end"},
            ],
        },
    )

    plan_id: UUID | None = Field(default=None, description="By default the plan stays.")
    quantity: Quantity | None = Field(
        default=None,
        description="By default the quantity stays. The total price must not exceed "
        f"{AMOUNT_MAX} minor units, Stripe's maximum.",
    )
    when: Literal["now", "at_period_end"] = Field(
        default="now",
        description="`now` bills the difference at once, and makes the change only if it is paid. "
        "`at_period_end` makes the change with the next renewal.",
    )
    proration_date: Moment | None = Field(
        default=None,
        description="Time from a preview, within the current period: the change at once then "
        "bills exactly what was previewed.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.plan_id is None and self.quantity is None:
            raise ValueError("plan_id or quantity is required")
        if self.when != "now" and self.proration_date is not None:
            raise ValueError("proration_date is for a change at once only")
        return self

    def to_request(self) -> ChangeRequest:
        """Return the requested change."""
        return ChangeRequest(
            plan_id=self.plan_id,
            quantity=self.quantity,
            is_at_period_end=self.when == "at_period_end",
            proration_date=self.proration_date,
        )


class DiscountedIn(Input):
    """An order that a coupon or a promotion code may reduce."""

    coupon: Coupon | None = Field(
        default=None, description="Stripe's id of a coupon. Administrators only."
    )
    promotion_code: PromotionCode | None = Field(
        default=None, description="The code that the customer enters."
    )

    @model_validator(mode="after")
    def _has_one_discount(self) -> Self:
        if self.coupon is not None and self.promotion_code is not None:
            raise ValueError("coupon and promotion_code exclude each other")
        return self


class PreviewStartIn(DiscountedIn):
    """A subscription to preview before it is bought."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"plan_id": _PLAN_ID}, {"plan_id": _PLAN_ID, "promotion_code": "SUMMER"}],
        },
    )

    plan_id: UUID
    quantity: Quantity = 1
    trial_days: TrialDays | None = Field(
        default=None,
        description="By default the trial of the plan. Only administrators may give a longer one.",
    )
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class DiscountOut(Output):
    """A discount of a subscription."""

    coupon: str = Field(description="Stripe's id of the coupon.")
    name: str | None
    promotion_code: str | None = Field(description="The code that the customer entered.")
    percent_off: float | None
    amount_off_cents: int | None
    currency_code: str | None
    duration: str = Field(description="`once`, `repeating` or `forever`.")
    ends_at: datetime | None


class ScheduledChangeOut(Output):
    """A change that waits for the end of the period."""

    plan_id: UUID | None = Field(description="Null if Stripe's price belongs to no plan.")
    stripe_price_id: str | None
    quantity: int
    at: datetime


class ApplyDiscountIn(DiscountedIn):
    """The coupon or promotion code to apply."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"promotion_code": "SUMMER"}, {"coupon": "goodwill-20"}]},
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.coupon is None and self.promotion_code is None:
            raise ValueError("either coupon or promotion_code is required")
        return self


class PreviewLineOut(Output):
    """One line of a previewed invoice, less its discounts; credits are negative."""

    description: str | None
    amount_cents: int
    quantity: int | None
    period_start: datetime
    period_end: datetime
    is_proration: bool

    @classmethod
    def of(cls, line: PreviewLine) -> "PreviewLineOut":
        """Render a line."""
        return cls(**line.model_dump(exclude={"amount_cents"}), amount_cents=line.net_cents)


class PreviewOut(Output):
    """What a change, or a new subscription, costs, as Stripe computes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "amount_due_now_cents": 1000,
                    "next_amount_cents": 4900,
                    "currency_code": "usd",
                    "next_invoice_at": "2026-12-01T09:00:00Z",
                    "proration_date": "2026-11-15T12:00:00Z",
                    "lines": [
                        {
                            "description": "Unused time on Basic after 15 Nov 2026",
                            "amount_cents": -1450,
                            "quantity": 1,
                            "period_start": "2026-11-15T12:00:00Z",
                            "period_end": "2026-12-01T09:00:00Z",
                            "is_proration": True,
                        },
                        {
                            "description": "Remaining time on Pro after 15 Nov 2026",
                            "amount_cents": 2450,
                            "quantity": 1,
                            "period_start": "2026-11-15T12:00:00Z",
                            "period_end": "2026-12-01T09:00:00Z",
                            "is_proration": True,
                        },
                    ],
                },
            ],
        },
    )

    amount_due_now_cents: int = Field(description="What is charged at once.")
    next_amount_cents: int | None = Field(
        description="What the next invoice charges; null if there is no next invoice.",
    )
    currency_code: str
    next_invoice_at: datetime | None
    proration_date: datetime | None = Field(
        description="Send it with the change, which then bills exactly what was previewed; null "
        "if nothing is billed for a part of a period.",
    )
    lines: list[PreviewLineOut] = Field(
        description="Lines of the invoice that is made at once, else of the next one.",
    )

    @classmethod
    def of(cls, preview: ChangePreview) -> "PreviewOut":
        """Render a preview."""
        since = preview.proration_date
        return cls(
            **preview.model_dump(exclude={"proration_date", "lines"}),
            proration_date=None if since is None else datetime.fromtimestamp(since, UTC),
            lines=[PreviewLineOut.of(line) for line in preview.lines],
        )
