"""What crosses the border of billing's workflows and activities."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from domain.messages import Frozen
from domain.retries import (
    AttemptTrigger,
    ChargeResult,
    LastResort,
    OlderInvoices,
    RetryStatus,
    VersionedPolicy,
)
from domain.subscriptions import CommandKind, Effect, SubscriptionStatus

ROTATE_AFTER = 1_500


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


class LastResortOrder(Frozen):
    """What a recovery asks of the mailbox, having tried all else."""

    stripe_invoice_id: str
    last_resort: LastResort
    after_uncollectible: LastResort = LastResort.CANCEL


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
    """

    subscription_id: UUID
    at: datetime
    request: SubscriptionRequest | None = None
    command: SubscriptionCommand | None = None
    last_resort: LastResortOrder | None = None
    hint_ids: tuple[str, ...] = ()
    notes: tuple[EventNote, ...] = ()


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


class RetryStart(Frozen):
    """Argument of `PaymentRetryWorkflow.run`."""

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    grace_ends_at: datetime
    policy: VersionedPolicy


class ChargeOrder(Frozen):
    """Argument of `charge_invoice`: one attempt, the same on every activity retry of it."""

    payment_retry_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    attempt: int
    trigger: AttemptTrigger
    attempted_at: datetime
    stripe_payment_method_id: str | None = None


class ChargeOutcome(Frozen):
    """How a charge ended."""

    result: ChargeResult
    decline_code: str | None = None
    advice_code: str | None = None
    stripe_payment_intent_id: str | None = None
    next_action_url: str | None = None


class RetrySnapshot(Frozen):
    """What the row of a recovery shows."""

    payment_retry_id: UUID
    retry_status: RetryStatus
    attempt_count: int
    next_attempt_at: datetime | None = None


class RetryReport(Frozen):
    """What a recovery tells the mailbox that it belongs to.

    Args:
        stripe_invoice_id: Whose recovery reports.
        retry_status: Where it stands now.
        attempt: Number of the charge that is reported; None if none was made.
        outcome: How that charge ended.
        last_resort: What it asks the mailbox to do, having tried all else.
        older_invoices: What becomes of older unpaid invoices now.
    """

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt: int | None = None
    outcome: ChargeOutcome | None = None
    last_resort: LastResortOrder | None = None
    older_invoices: OlderInvoices = OlderInvoices.COLLECT


class RetryNow(Frozen):
    """Argument of the `retry_now` update; `command_id` is also the update's id."""

    command_id: UUID


class NewCard(Frozen):
    """A card that may succeed where another failed."""

    stripe_payment_method_id: str


class ErrandKind(StrEnum):
    """Stripe's small jobs."""

    ATTACH_PAYMENT_METHOD = "attach_payment_method"
    SET_DEFAULT_PAYMENT_METHOD = "set_default_payment_method"
    DETACH_PAYMENT_METHOD = "detach_payment_method"
    CREATE_SETUP_INTENT = "create_setup_intent"
    CREATE_PLAN = "create_plan"
    CHANGE_PLAN = "change_plan"


class PlanRequest(Frozen):
    """A plan to be made or changed; on a change, None leaves a field as it is."""

    code: str | None = None
    name: str | None = None
    amount_cents: int | None = None
    currency_code: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    trial_days: int | None = None
    features: dict[str, Any] | None = None
    limits: dict[str, int] | None = None
    retry_policy: str | None = None
    is_active: bool | None = None


class StripeErrand(Frozen):
    """Argument of `StripeErrandWorkflow.run`.

    Args:
        errand_id: Makes the workflow id and Stripe's idempotency keys.
        kind: Which job.
        user_id: For whom, unless it is about a plan.
        resource_id: Id of the row that the job makes or changes.
        stripe_payment_method_id: Which card, for the jobs about cards.
        is_default: Whether an attached card becomes the default.
        plan: What the plan is to be, for the jobs about plans.
    """

    errand_id: UUID
    kind: ErrandKind
    resource_id: UUID
    user_id: UUID | None = None
    stripe_payment_method_id: str | None = None
    is_default: bool = False
    plan: PlanRequest | None = None


class ErrandResult(Frozen):
    """Answer of `StripeErrandWorkflow`.

    Args:
        resource_id: The row that was made or changed.
        client_secret: Of a setup intent; never stored by us.
        retried_stripe_invoice_ids: Open recoveries that were told of a new default card.
    """

    resource_id: UUID
    client_secret: str | None = None
    retried_stripe_invoice_ids: tuple[str, ...] = ()
