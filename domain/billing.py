"""What crosses the border of `SubscriptionWorkflow` and its activities."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from domain.messages import Frozen
from domain.retries import RetryStatus, VersionedPolicy
from domain.retry_messages import ROTATE_AFTER, LastResortOrder
from domain.subscriptions import CommandKind, Effect, SubscriptionStatus


class SubscriptionRequest(Frozen):
    """What a new subscription is to be; everything is resolved, nothing is looked up later."""

    user_id: UUID
    plan_id: UUID
    stripe_price_id: str
    quantity: int = Field(default=1, gt=0)
    trial_days: int = Field(default=0, ge=0)
    stripe_payment_method_id: str | None = None


class SubscriptionState(Frozen):
    """What a mailbox knows of its subscription, and all that it decides by.

    Args:
        subscription_id: Ours.
        user_id: Whose it is.
        subscription_status: As last seen at Stripe.
        stripe_subscription_id: None until Stripe has made it.
        latest_stripe_invoice_id: The invoice that the status follows.
        grace_ends_at: When access ends while past due, on Temporal's clock.
        is_written_off: The debt was given up.
        parked_reason: An error that needs a person; None while all is well.
        recoveries: Open recoveries by Stripe's invoice id, oldest first.
    """

    subscription_id: UUID
    user_id: UUID
    subscription_status: SubscriptionStatus
    stripe_subscription_id: str | None = None
    latest_stripe_invoice_id: str | None = None
    grace_ends_at: datetime | None = None
    is_written_off: bool = False
    parked_reason: str | None = None
    recoveries: dict[str, RetryStatus] = {}


class SubscriptionCommand(Frozen):
    """What a person asks of a subscription; `command_id` is also the update's id."""

    command_id: UUID
    kind: CommandKind
    stripe_payment_method_id: str | None = None


class CommandAnswer(Frozen):
    """The outcome of a command: a state, or why not."""

    state: SubscriptionState | None = None
    error_code: str | None = None
    message: str | None = None
    details: dict[str, Any] = {}


class SubscriptionStart(Frozen):
    """Argument of `SubscriptionWorkflow.run`: everything that a run needs of the run before it.

    Args:
        subscription_id: Ours.
        request: What to create; None when a webhook, not a person, starts the workflow.
        state: Carried over by continue-as-new.
        hint_ids: Stripe events not looked into yet.
        answers: Recent commands' answers: update ids dedupe within one run only.
        rotate_after: Events of history after which the run continues as new.
    """

    subscription_id: UUID
    request: SubscriptionRequest | None = None
    state: SubscriptionState | None = None
    hint_ids: tuple[str, ...] = ()
    answers: dict[UUID, CommandAnswer] = {}
    rotate_after: int = ROTATE_AFTER


class EventNote(Frozen):
    """Something that happened to a subscription, told once per `source_key`."""

    source_key: str
    kind: str
    summary: str
    data: dict[str, Any] = {}


class SubscriptionOrder(Frozen):
    """Argument of the activities that bring a subscription and its view up to date.

    Args:
        subscription_id: Which.
        at: The workflow's time, from which grace is counted.
        request: What to create, for `create_subscription`.
        command: What to carry out, for the commands' activities.
        last_resort: What to carry out, for `carry_out_last_resort`.
        hint_ids: Stripe events that made us look.
        notes: What else happened, to be told in the same transaction.
        void_stripe_invoice_ids: What to void, for `void_invoices`.
        parked_reason: What a person must look into, for `park_subscription`.
    """

    subscription_id: UUID
    at: datetime
    request: SubscriptionRequest | None = None
    command: SubscriptionCommand | None = None
    last_resort: LastResortOrder | None = None
    hint_ids: tuple[str, ...] = ()
    notes: tuple[EventNote, ...] = ()
    void_stripe_invoice_ids: tuple[str, ...] = ()
    parked_reason: str | None = None

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        if self.command is not None:
            return self.command.kind
        if self.last_resort is not None:
            return f"last resort: {self.last_resort.last_resort}"
        if self.request is not None:
            return "create at Stripe"
        reasons = [*self.hint_ids, *(note.kind for note in self.notes)]
        return f"look at Stripe: {', '.join(reasons[:3]) or 'again'}"


class Refreshed(Frozen):
    """What one look at Stripe brought.

    Args:
        state: The subscription as it is now.
        effects: What the change brings about, in this order.
        unpaid_stripe_invoice_ids: Open invoices whose charge failed, oldest first.
        policy: How to recover them.
    """

    state: SubscriptionState
    effects: tuple[Effect, ...] = ()
    unpaid_stripe_invoice_ids: tuple[str, ...] = ()
    policy: VersionedPolicy = VersionedPolicy()
