"""What crosses the border of `SubscriptionWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import RetryStatus
from domain.payment_retries.messages import LastResortInput
from domain.payment_retries.policy import VersionedPolicy
from domain.subscriptions.lifecycle import CommandKind, Effect, SubscriptionStatus
from domain.workflow_names import CONTINUE_AS_NEW_AFTER

# Reason: hints only tell that something happened; a row of them more or less says nothing new.
_KEPT_HINT_COUNT = 200


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


class StepKind(StrEnum):
    """What a mailbox does by itself, when no command waits."""

    CREATE = "create"
    SYNC = "sync"
    LAST_RESORT = "last_resort"
    VOID_OLDER = "void_older_invoices"
    VOID_ALL = "void_all_invoices"
    CANCEL_AT_STRIPE = "cancel_at_stripe"
    REFUND = "refund"


# What makes no sense once a subscription has ended; a last resort does, it settles its invoice.
ONLY_WHILE_ALIVE = frozenset({StepKind.CREATE, StepKind.VOID_OLDER})


class SubscriptionInput(Frozen):
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
        payment_ids: What to pay back, for `refund_payments`.
        refunds_all: All that was paid is to be paid back: it was charged after a cancel.
        refund_stripe_invoice_ids: What was charged while a cancel waited is to be paid back.
        is_repeated: An earlier activity has tried this and may have done it.
        parked: The steps that stay parked whatever comes of this one.
    """

    subscription_id: UUID
    at: datetime
    request: SubscriptionRequest | None = None
    command: SubscriptionCommand | None = None
    last_resort: LastResortInput | None = None
    hint_ids: tuple[str, ...] = ()
    notes: tuple[NewSubscriptionEvent, ...] = ()
    void_stripe_invoice_ids: tuple[str, ...] = ()
    payment_ids: tuple[UUID, ...] = ()
    refunds_all: bool = False
    refund_stripe_invoice_ids: tuple[str, ...] = ()
    is_repeated: bool = False
    parked: tuple["OwedStep", ...] = ()

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
        return f"read at Stripe: {', '.join(reasons[:3]) or 'again'}"


class OwedStep(Frozen):
    """A step that a mailbox still has to take.

    Args:
        kind: Which.
        order: Its argument, without what is filled in when it runs.
        try_count: How often it was tried in vain.
        next_try_at: Before this time it rests; None if it is due.
        parked: Why it rests.
    """

    kind: StepKind
    order: SubscriptionInput
    try_count: int = 0
    next_try_at: datetime | None = None
    parked: ParkedStep | None = None

    def merged(self, order: SubscriptionInput) -> "OwedStep":
        """Return this step with what another look at Stripe would have told."""
        hint_ids = tuple(dict.fromkeys([*self.order.hint_ids, *order.hint_ids]))
        changes = {
            "hint_ids": hint_ids[-_KEPT_HINT_COUNT:],
            "notes": (*self.order.notes, *order.notes),
            "refunds_all": self.order.refunds_all or order.refunds_all,
            "refund_stripe_invoice_ids": (
                *self.order.refund_stripe_invoice_ids,
                *order.refund_stripe_invoice_ids,
            ),
        }
        changed = self.order.model_copy(update=changes)
        return self.model_copy(update={"order": changed, "next_try_at": None})


class SubscriptionState(Frozen):
    """What a mailbox knows of its subscription, and all that it decides by.

    Args:
        subscription_id: Ours.
        user_id: Whose it is.
        subscription_status: As last seen at Stripe.
        stripe_subscription_id: None until Stripe has made it.
        latest_stripe_invoice_id: The newest invoice at Stripe.
        grace_ends_at: When access ends while past due, on Temporal's clock.
        is_written_off: The debt was given up.
        recoveries: Open payment retries by Stripe's invoice id, oldest first.
        owed: Steps that are still to be taken; read from the row, only those that are parked.
    """

    subscription_id: UUID
    user_id: UUID
    subscription_status: SubscriptionStatus
    stripe_subscription_id: str | None = None
    latest_stripe_invoice_id: str | None = None
    grace_ends_at: datetime | None = None
    is_written_off: bool = False
    recoveries: dict[str, RetryStatus] = {}
    owed: tuple[OwedStep, ...] = ()


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
        grace_told: The end of grace that was told already.
        rotate_after: Events of history after which the run continues as new.
    """

    subscription_id: UUID
    request: SubscriptionRequest | None = None
    state: SubscriptionState | None = None
    hint_ids: tuple[str, ...] = ()
    answers: dict[UUID, CommandAnswer] = {}
    grace_told: datetime | None = None
    rotate_after: int = CONTINUE_AS_NEW_AFTER


class SyncResult(Frozen):
    """What one look at Stripe brought.

    Args:
        state: The subscription as it is now.
        effects: What the change brings about, in this order.
        owed_stripe_invoice_ids: What payment retries collect, oldest first.
        has_newer_settled: A renewal that is newer than all of these is closed, in whatever way.
        refund_payment_ids: What was paid for nothing and is to be paid back.
        has_open_invoices: It was canceled, and what is unpaid could not be voided yet.
        policy: How to collect what is owed.
    """

    state: SubscriptionState
    effects: tuple[Effect, ...] = ()
    owed_stripe_invoice_ids: tuple[str, ...] = ()
    has_newer_settled: bool = False
    refund_payment_ids: tuple[UUID, ...] = ()
    has_open_invoices: bool = False
    policy: VersionedPolicy = VersionedPolicy()
