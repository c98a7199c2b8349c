"""Schemas of subscriptions, their events and invoices."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from api.schemas.common import WHOLE, Input, Output
from api.schemas.parked import Parkable, parked_facts
from api.schemas.plans import TrialDays
from api.schemas.subscription_changes import DiscountedIn, DiscountOut, ScheduledChangeOut
from database.subscriptions.models import Subscription
from domain.payments.money import AMOUNT_MAX
from domain.subscriptions.lifecycle import Access, SubscriptionStatus
from domain.subscriptions.messages import CancelRefund
from services.subscriptions.entitlements import access_of

_EXAMPLE: dict[str, Any] = {
    "subscription_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11",
    "quantity": 1,
    "subscription_status": "active",
    "access": "full",
    "current_period_start": "2026-11-01T09:00:00Z",
    "current_period_end": "2026-12-01T09:00:00Z",
    "trial_end": None,
    "cancel_at": None,
    "canceled_at": None,
    "grace_ends_at": None,
    "resume_at": None,
    "next_action_url": None,
    "stripe_price_id": "price_1QxB2eZvKYlo2C",
    "discount": None,
    "scheduled_change": None,
    "stripe_subscription_id": "sub_1QxB2eZvKYlo2C",
    "stripe_customer_id": "cus_R4kXw0dQ1aZs",
    "latest_invoice_id": "c4d1e2f3-a5b6-4c7d-8e9f-0a1b2c3d4e5f",
    "replaces_subscription_id": None,
    "workflow_id": "subscription-5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
    "created_at": "2026-11-01T09:00:00Z",
    "updated_at": "2026-11-01T09:00:02Z",
    "is_parked": False,
    "parked": [],
}


class NewSubscription(DiscountedIn):
    """A new subscription to a plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11"},
                {"plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11", "trial_days": 14},
                {
                    "plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11",
                    "promotion_code": "SUMMER",
                },
            ],
        },
    )

    plan_id: UUID
    payment_method_id: UUID | None = Field(
        default=None,
        description="Card that pays; by default the default card of the customer.",
    )
    quantity: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = Field(
        default=1,
        description=f"The total price must not exceed {AMOUNT_MAX} minor units, Stripe's maximum.",
    )
    trial_days: TrialDays | None = Field(
        default=None,
        description="By default the trial of the plan, once per user. Only administrators may "
        "grant a longer trial.",
    )
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class CancelSubscriptionIn(Input):
    """How to cancel a subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"mode": "at_period_end"}, {"mode": "now", "refund": "unused"}],
        },
    )

    mode: Literal["now", "at_period_end"] = Field(
        description="`now` stops retries, voids the open invoice and ends access; `at_period_end` "
        "lets the subscription run until `cancel_at`.",
    )
    refund: CancelRefund = Field(
        default=CancelRefund.NONE,
        description="`unused` pays back what Stripe computes for the unused time, as far as it was "
        "paid for; only with the mode `now`.",
    )

    @model_validator(mode="after")
    def _refunds_only_now(self) -> Self:
        if self.refund is not CancelRefund.NONE and self.mode != "now":
            raise ValueError("unused time is refunded only with the mode `now`")
        return self


class PauseSubscriptionIn(Input):
    """How long a subscription is paused."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"resume_at": "2027-03-01T09:00:00Z"}]}
    )

    resume_at: AwareDatetime | None = Field(
        default=None,
        description="When it is resumed by itself, at most two years ahead; by default never.",
    )


class ReactivateIn(Input):
    """The new subscription that replaces an ended one of the same plan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"quantity": 3}]})

    payment_method_id: UUID | None = Field(
        default=None,
        description="Card that pays; by default the default card of the customer.",
    )
    quantity: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        default=None, description="By default that of the ended subscription."
    )


class ExtendTrialIn(Input):
    """When a trial ends."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"trial_end": "2027-03-01T09:00:00Z"}]}
    )

    trial_end: AwareDatetime = Field(
        description="Later than the present end, at most 730 days ahead."
    )


class ChangePaymentMethodIn(Input):
    """The card that pays from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"payment_method_id": "0b51a4f2-53f5-4b7c-9a2e-1f9f5b0c1d22"}],
        },
    )

    payment_method_id: UUID


class SubscriptionOut(Parkable):
    """A subscription in its current state."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    subscription_id: UUID
    user_id: UUID
    plan_id: UUID | None = Field(
        description="null if the subscription was made at Stripe, for a price of no plan.",
    )
    quantity: int
    subscription_status: SubscriptionStatus
    access: Access
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    canceled_at: datetime | None
    grace_ends_at: datetime | None
    resume_at: datetime | None = Field(
        description="When a paused subscription is resumed by itself; null for never."
    )
    next_action_url: str | None
    stripe_price_id: str | None = Field(
        description="Price at Stripe that is billed. After a change at Stripe it may belong to no "
        "plan of this API.",
    )
    discount: DiscountOut | None = Field(description="The discount that Stripe takes off.")
    scheduled_change: ScheduledChangeOut | None = Field(
        description="The change that waits for the end of the period.",
    )
    stripe_subscription_id: str | None
    stripe_customer_id: str | None
    latest_invoice_id: UUID | None
    replaces_subscription_id: UUID | None = Field(
        description="The ended subscription that this one replaces."
    )
    workflow_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Subscription, now: datetime) -> "SubscriptionOut":
        """Render the row of a subscription, with its access at the given time."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        terms = {"discount": row.discount_data, "scheduled_change": row.scheduled_change_data}
        return cls(**facts, **terms, access=access_of(row, now), **parked_facts(row.parked_data))


class NextEventOut(Output):
    """Something that will happen or can be done."""

    what: str
    at: datetime | None = Field(description="Null if the time is not known.")


class PastEventOut(Output):
    """An event that led to the present status; `seq` is its number under `events`."""

    seq: int
    kind: str
    at: datetime
    what: str


class ExplanationOut(Output):
    """Why a subscription has its status, and what happens next."""

    subscription_status: SubscriptionStatus
    access: Access
    because: list[str]
    led_here: list[PastEventOut] = Field(
        description="Events since the status before this one, oldest first; at most 20."
    )
    next: list[NextEventOut]
    can_do: list[str] = Field(
        description="Commands that are allowed now, each a `POST subscriptions/{id}/…`.",
        examples=[["cancel {mode: now}", "payment-method"]],
    )
    ids: dict[str, list[str]] | None = Field(
        description="Ids that belong to the subscription, by what they are of; null for customers."
    )


class SubscriptionEventOut(Output):
    """An event of a subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seq": 3,
                    "kind": "status_changed",
                    "occurred_at": "2026-11-01T09:00:02Z",
                    "summary": "from incomplete to active",
                    "data": {"from": "incomplete", "to": "active", "reason": "invoice.paid"},
                },
            ],
        },
    )

    seq: int
    kind: str
    occurred_at: datetime
    summary: str
    data: dict[str, Any]


class InvoiceOut(Output):
    """An invoice."""

    invoice_id: UUID
    subscription_id: UUID
    stripe_invoice_id: str
    invoice_status: str
    billing_reason: str | None
    amount_due_cents: int
    amount_paid_cents: int
    currency_code: str
    period_start: datetime
    period_end: datetime
    hosted_invoice_url: str | None
    invoiced_at: datetime
