"""Inputs of the activities of a subscription's workflow, and its owed steps."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.messages import LastResortRequest
from domain.subscriptions.adoption.decisions import Adoption
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import (
    NewSubscriptionEvent,
    SubscriptionCommand,
    SubscriptionRequest,
)

# Reason: hints only ask for a read from Stripe, so the oldest of many can be dropped.
_KEPT_HINT_COUNT = 200


class StepKind(StrEnum):
    """The steps that a subscription's workflow runs when no command waits."""

    CREATE = "create"
    SYNC = "sync"
    LAST_RESORT = "last_resort"
    VOID_OLDER = "void_older_invoices"
    VOID_ALL = "void_all_invoices"
    CANCEL_AT_STRIPE = "cancel_at_stripe"
    REFUND = "refund"
    REFUND_UNUSED = "refund_unused"
    RESUME = "resume"


# Steps that make no sense once a subscription has ended; a last resort still settles an invoice.
ONLY_WHILE_ALIVE = frozenset({StepKind.CREATE, StepKind.VOID_OLDER, StepKind.RESUME})


class OpenInput(Frozen):
    """Input of `open_subscription`; without a request or an adoption the row is only read."""

    subscription_id: UUID
    request: SubscriptionRequest | None = None
    adoption: Adoption | None = None


class SubscriptionInput(Frozen):
    """Base of the inputs of all activities that sync a subscription.

    Args:
        subscription_id: Our id of the subscription.
        at: Workflow time, from which grace is counted.
        hint_ids: Stripe events that are the reason for the sync.
        events: Other events, to be stored in the same transaction.
        refunds_all: Whether to refund all payments, because they were charged after a cancel.
        refund_stripe_invoice_ids: Invoices to refund, which were charged while a cancel waited.
        late_stripe_invoice_ids: Invoices that were not settled when we ended the subscription:
            one that was paid in the same second was paid after it.
        is_repeated: Whether an earlier activity tried this and may have done it.
        parked: Steps that stay parked whatever the result of this step is.
        announced_trial_end: End of the trial to announce, if Stripe still shows it.
    """

    subscription_id: UUID
    at: datetime
    hint_ids: tuple[str, ...] = ()
    events: tuple[NewSubscriptionEvent, ...] = ()
    refunds_all: bool = False
    refund_stripe_invoice_ids: tuple[str, ...] = ()
    late_stripe_invoice_ids: tuple[str, ...] = ()
    is_repeated: bool = False
    parked: tuple["OwedStep", ...] = ()
    announced_trial_end: datetime | None = None

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        reasons = [*self.hint_ids, *(event.kind for event in self.events)]
        return f"read at Stripe: {', '.join(reasons[:3]) or 'again'}"


class SyncInput(SubscriptionInput):
    """Input of `refresh_subscription`."""

    kind: Literal[StepKind.SYNC] = StepKind.SYNC


class CreateInput(SubscriptionInput):
    """Input of `create_subscription`."""

    kind: Literal[StepKind.CREATE] = StepKind.CREATE
    request: SubscriptionRequest

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return "create at Stripe"


class CancelInput(SubscriptionInput):
    """Input of `cancel_subscription`.

    Args:
        cause: Part of Stripe's idempotency keys: the command's id, or `late` if Stripe created
            the subscription after its cancel had been answered.
        refunded_cents: What is refunded afterwards of the unused time, and so of its credit.
    """

    kind: Literal[StepKind.CANCEL_AT_STRIPE] = StepKind.CANCEL_AT_STRIPE
    cause: str = "late"
    refunded_cents: int = 0

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return CommandKind.CANCEL_NOW


class ChangeCardInput(SubscriptionInput):
    """Input of `change_payment_method`."""

    command_id: UUID
    stripe_payment_method_id: str

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return CommandKind.CHANGE_PAYMENT_METHOD


class CommandInput(SubscriptionInput):
    """Input of the activities that carry out a command with nothing but its own fields."""

    command: SubscriptionCommand

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return self.command.kind


class ResumeInput(SubscriptionInput):
    """Input of `resume_subscription`.

    Args:
        cause: Part of Stripe's idempotency key: the command's id, or the due time.
        is_scheduled: Whether the time has come that the pause was given, and nobody waits for the
            answer.
    """

    kind: Literal[StepKind.RESUME] = StepKind.RESUME
    cause: str
    is_scheduled: bool = False

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return "resume, as the pause said" if self.is_scheduled else CommandKind.RESUME


class LastResortInput(SubscriptionInput):
    """Input of `execute_last_resort`."""

    kind: Literal[StepKind.LAST_RESORT] = StepKind.LAST_RESORT
    request: LastResortRequest

    @property
    def summary(self) -> str:
        """Summary for the Web UI."""
        return f"last resort: {self.request.last_resort}"


class VoidInput(SubscriptionInput):
    """Input of `void_invoices`."""

    kind: Literal[StepKind.VOID_OLDER] = StepKind.VOID_OLDER
    stripe_invoice_ids: tuple[str, ...]


class VoidAllInput(SubscriptionInput):
    """Input of `void_all_invoices`."""

    kind: Literal[StepKind.VOID_ALL] = StepKind.VOID_ALL


class RefundPaymentsInput(SubscriptionInput):
    """Input of `refund_payments`."""

    kind: Literal[StepKind.REFUND] = StepKind.REFUND
    payment_ids: tuple[UUID, ...]


class UnusedTimeInput(Frozen):
    """Input of `price_unused_time`; the cause is part of Stripe's idempotency key."""

    subscription_id: UUID
    cause: str


class RefundUnusedInput(SubscriptionInput):
    """Input of `refund_unused_time`.

    Args:
        amount_cents: Price of the unused time, as Stripe has computed it.
        cause: Id of the command that canceled the subscription.
    """

    kind: Literal[StepKind.REFUND_UNUSED] = StepKind.REFUND_UNUSED
    amount_cents: int
    cause: UUID


AnyStepInput = (
    SyncInput
    | CreateInput
    | CancelInput
    | LastResortInput
    | VoidInput
    | VoidAllInput
    | RefundPaymentsInput
    | RefundUnusedInput
    | ResumeInput
)


class OwedStep(Frozen):
    """A step that the workflow still has to run.

    Args:
        input: Input of the activity, without the values that are filled in when it runs.
        try_count: Number of failed tries.
        next_try_at: When the step is tried again; None if it is due.
        parked: The problem, if the step is parked.
    """

    input: AnyStepInput = Field(discriminator="kind")
    try_count: int = 0
    next_try_at: datetime | None = None
    parked: ParkedStep | None = None

    @property
    def kind(self) -> StepKind:
        """Kind of the step."""
        return self.input.kind

    def is_same(self, other: AnyStepInput) -> bool:
        """Tell whether another input is the same step, regardless of times and reasons."""
        return _subject(self.input) == _subject(other)

    def merged(self, other: SubscriptionInput) -> "OwedStep":
        """Return this step with the hints, events and refunds of another input added."""
        hint_ids = tuple(dict.fromkeys([*self.input.hint_ids, *other.hint_ids]))
        changes = {
            "hint_ids": hint_ids[-_KEPT_HINT_COUNT:],
            "events": (*self.input.events, *other.events),
            "announced_trial_end": other.announced_trial_end or self.input.announced_trial_end,
            "refunds_all": self.input.refunds_all or other.refunds_all,
            "refund_stripe_invoice_ids": (
                *self.input.refund_stripe_invoice_ids,
                *other.refund_stripe_invoice_ids,
            ),
            "late_stripe_invoice_ids": (
                *self.input.late_stripe_invoice_ids,
                *other.late_stripe_invoice_ids,
            ),
        }
        changed = self.input.model_copy(update=changes)
        return self.model_copy(update={"input": changed, "next_try_at": None})


def _subject(step: AnyStepInput) -> tuple[object, ...]:
    match step:
        case LastResortInput():
            return step.kind, step.request.stripe_invoice_id
        case VoidInput():
            return step.kind, step.stripe_invoice_ids
        case RefundPaymentsInput():
            return step.kind, step.payment_ids
        case _:
            return (step.kind,)


class ParkInput(Frozen):
    """Input of `park_subscription`: all parked steps, and new events."""

    subscription_id: UUID
    parked: tuple[OwedStep, ...]
    events: tuple[NewSubscriptionEvent, ...] = ()
