"""What is asked of a subscription, and what happened to it."""

from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from domain.base import Frozen
from domain.subscriptions.lifecycle import CommandKind


class SubscriptionRequest(Frozen):
    """What a new subscription is to be; everything is resolved, nothing is looked up later.

    Args:
        has_card: Whether there is a card to charge at once.
        trial_days: How long the trial lasts, unless the user has had one of this plan.
        is_trial_given: An administrator gives this trial, whatever the user has had.
        is_stackable: Whether the user may have several of this plan at once.
        is_trial_once_per_card: Whether a card that has had a trial of this plan gets no other.
    """

    user_id: UUID
    plan_id: UUID
    stripe_price_id: str
    quantity: int = Field(default=1, gt=0)
    trial_days: int = Field(default=0, ge=0)
    is_trial_given: bool = False
    is_stackable: bool = False
    is_trial_once_per_card: bool = False
    has_card: bool = False
    stripe_payment_method_id: str | None = None
    card_fingerprint: str | None = None


class SubscriptionCommand(Frozen):
    """What a person asks of a subscription; `command_id` is also the update's id."""

    command_id: UUID
    kind: CommandKind
    stripe_payment_method_id: str | None = None

    @model_validator(mode="after")
    def _has_card(self) -> Self:
        is_card_change = self.kind is CommandKind.CHANGE_PAYMENT_METHOD
        if is_card_change and self.stripe_payment_method_id is None:
            raise ValueError("a change of the payment method names one")
        return self

    @property
    def is_cancel(self) -> bool:
        """Whether it cancels the subscription."""
        return self.kind is CommandKind.CANCEL_NOW


class NewSubscriptionEvent(Frozen):
    """Something that happened to a subscription, told once per `source_key`."""

    source_key: str
    kind: str
    summary: str
    data: dict[str, Any] = {}
