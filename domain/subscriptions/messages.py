"""Requests, commands and new events of a subscription."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from domain.base import Frozen
from domain.subscriptions.lifecycle import COMMANDS, CommandKind
from domain.subscriptions.previews import ChangeTerms, CouponSnapshot


class SubscriptionRequest(Frozen):
    """Request for a new subscription; all its values are final, and none is looked up later.

    Args:
        has_card: Whether there is a card to charge at once.
        trial_days: Length of the trial, unless the user already had a trial of this plan.
        is_trial_given: Whether an administrator grants the trial regardless of earlier trials.
        is_stackable: Whether the user may have several subscriptions of this plan at once.
        is_trial_once_per_card: Whether a card is limited to one trial of this plan.
        replaces_subscription_id: The ended subscription that this one replaces.
        discount: The coupon that reduces the invoices.
    """

    user_id: UUID
    plan_id: UUID
    stripe_price_id: str
    metered_price_ids: tuple[str, ...] = ()
    quantity: int = Field(default=1, gt=0)
    trial_days: int = Field(default=0, ge=0)
    is_trial_given: bool = False
    is_stackable: bool = False
    is_trial_once_per_card: bool = False
    has_card: bool = False
    stripe_payment_method_id: str | None = None
    card_fingerprint: str | None = None
    replaces_subscription_id: UUID | None = None
    discount: CouponSnapshot | None = None


class CancelRefund(StrEnum):
    """What is refunded when a subscription is canceled at once."""

    NONE = "none"
    UNUSED = "unused"


class SubscriptionCommand(Frozen):
    """A command to a subscription: one form for all kinds, whose rules say which field they need.

    Args:
        command_id: Id of the command, which is also the id of the update.
        kind: What to do.
        stripe_payment_method_id: Card that pays from now on.
        refund: Whether to refund the unused time, if the command cancels at once.
        resume_at: When a paused subscription is resumed by itself; None for never.
        trial_end: When the extended trial ends.
        terms: New plan or quantity.
        coupon: Stripe's id of the coupon to apply.
        promotion_code: The code to apply, which the customer entered.
    """

    command_id: UUID
    kind: CommandKind
    stripe_payment_method_id: str | None = None
    refund: CancelRefund = CancelRefund.NONE
    resume_at: datetime | None = None
    trial_end: datetime | None = None
    terms: ChangeTerms | None = None
    coupon: str | None = None
    promotion_code: str | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needs = COMMANDS[self.kind].needs
        if needs is not None and getattr(self, needs) is None:
            raise ValueError(f"the command {self.kind} needs {needs}")
        return self

    @property
    def is_cancel(self) -> bool:
        """Whether the command cancels the subscription."""
        return self.kind is CommandKind.CANCEL_NOW


class NewSubscriptionEvent(Frozen):
    """A subscription event that has no number yet; stored once per `source_key`."""

    source_key: str
    kind: str
    summary: str
    data: dict[str, Any] = {}
