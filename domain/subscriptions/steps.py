"""Inputs of a mailbox's activities, and the steps that it owes."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.messages import LastResortRequest
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import NewSubscriptionEvent, SubscriptionRequest

# Reason: hints only tell that something happened; a row of them more or less says nothing new.
_KEPT_HINT_COUNT = 200


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


class OpenInput(Frozen):
    """Argument of `open_subscription`; without a request the row is only looked for."""

    subscription_id: UUID
    request: SubscriptionRequest | None = None


class SubscriptionInput(Frozen):
    """What all activities take that bring a subscription and its view up to date.

    Args:
        subscription_id: Ours.
        at: The workflow's time, from which grace is counted.
        hint_ids: Stripe events that are the reason.
        events: What else happened, to be stored in the same transaction.
        refunds_all: All that was paid is to be paid back: it was charged after a cancel.
        refund_stripe_invoice_ids: What was charged while a cancel waited is to be paid back.
        is_repeated: An earlier activity has tried this and may have done it.
        parked: The steps that stay parked whatever comes of this one.
    """

    subscription_id: UUID
    at: datetime
    hint_ids: tuple[str, ...] = ()
    events: tuple[NewSubscriptionEvent, ...] = ()
    refunds_all: bool = False
    refund_stripe_invoice_ids: tuple[str, ...] = ()
    is_repeated: bool = False
    parked: tuple["OwedStep", ...] = ()

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        reasons = [*self.hint_ids, *(event.kind for event in self.events)]
        return f"read at Stripe: {', '.join(reasons[:3]) or 'again'}"


class SyncInput(SubscriptionInput):
    """Argument of `refresh_subscription`."""

    kind: Literal[StepKind.SYNC] = StepKind.SYNC


class CreateInput(SubscriptionInput):
    """Argument of `create_subscription`."""

    kind: Literal[StepKind.CREATE] = StepKind.CREATE
    request: SubscriptionRequest

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        return "create at Stripe"


class CancelInput(SubscriptionInput):
    """Argument of `cancel_subscription`.

    Args:
        cause: Makes Stripe's idempotency keys: the command's id, or `late` for what Stripe made
            after its cancel had been answered.
    """

    kind: Literal[StepKind.CANCEL_AT_STRIPE] = StepKind.CANCEL_AT_STRIPE
    cause: str = "late"

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        return CommandKind.CANCEL_NOW


class ChangeCardInput(SubscriptionInput):
    """Argument of `change_payment_method`."""

    command_id: UUID
    stripe_payment_method_id: str

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        return CommandKind.CHANGE_PAYMENT_METHOD


class LastResortInput(SubscriptionInput):
    """Argument of `execute_last_resort`."""

    kind: Literal[StepKind.LAST_RESORT] = StepKind.LAST_RESORT
    request: LastResortRequest

    @property
    def summary(self) -> str:
        """What this is about, for the Web UI."""
        return f"last resort: {self.request.last_resort}"


class VoidInput(SubscriptionInput):
    """Argument of `void_invoices`."""

    kind: Literal[StepKind.VOID_OLDER] = StepKind.VOID_OLDER
    stripe_invoice_ids: tuple[str, ...]


class VoidAllInput(SubscriptionInput):
    """Argument of `void_all_invoices`."""

    kind: Literal[StepKind.VOID_ALL] = StepKind.VOID_ALL


class RefundPaymentsInput(SubscriptionInput):
    """Argument of `refund_payments`."""

    kind: Literal[StepKind.REFUND] = StepKind.REFUND
    payment_ids: tuple[UUID, ...]


AnyStepInput = (
    SyncInput
    | CreateInput
    | CancelInput
    | LastResortInput
    | VoidInput
    | VoidAllInput
    | RefundPaymentsInput
)


class OwedStep(Frozen):
    """A step that a mailbox still has to take.

    Args:
        input: What its activity takes, without what is filled in when it runs.
        try_count: How often it was tried in vain.
        next_try_at: Before this time it rests; None if it is due.
        parked: Why it rests.
    """

    input: AnyStepInput = Field(discriminator="kind")
    try_count: int = 0
    next_try_at: datetime | None = None
    parked: ParkedStep | None = None

    @property
    def kind(self) -> StepKind:
        """Which step it is."""
        return self.input.kind

    def is_same(self, other: AnyStepInput) -> bool:
        """Tell whether another input is this very step: times and reasons do not count."""
        return _subject(self.input) == _subject(other)

    def merged(self, other: SubscriptionInput) -> "OwedStep":
        """Return this step with the reasons of another read from Stripe."""
        hint_ids = tuple(dict.fromkeys([*self.input.hint_ids, *other.hint_ids]))
        changes = {
            "hint_ids": hint_ids[-_KEPT_HINT_COUNT:],
            "events": (*self.input.events, *other.events),
            "refunds_all": self.input.refunds_all or other.refunds_all,
            "refund_stripe_invoice_ids": (
                *self.input.refund_stripe_invoice_ids,
                *other.refund_stripe_invoice_ids,
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
    """Argument of `park_subscription`: all steps that are parked, and what happened."""

    subscription_id: UUID
    parked: tuple[OwedStep, ...]
    events: tuple[NewSubscriptionEvent, ...] = ()
