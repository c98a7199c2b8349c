"""State, input and answers of a subscription's workflow."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from domain.base import Frozen
from domain.payment_retries.lifecycle import RetryStatus
from domain.payment_retries.policy import VersionedPolicy
from domain.subscriptions.adoption.decisions import Adoption
from domain.subscriptions.lifecycle import Effect, SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.steps import OwedStep
from domain.workflow_names import CONTINUE_AS_NEW_AFTER

# Revision of the sequence of commands of new workflows; those that have begun keep their own.
SUBSCRIPTION_REVISION = 2


class Timer(StrEnum):
    """The timers of a subscription's workflow."""

    GRACE_END = "grace_end"
    TRIAL_NOTICE = "trial_notice"
    RESUME = "resume"


class SubscriptionState(Frozen):
    """State of a subscription, by which its workflow decides.

    Args:
        subscription_id: Our id of the subscription.
        user_id: Owner of the subscription.
        subscription_status: Status as last read from Stripe.
        stripe_subscription_id: None until Stripe has created the subscription.
        latest_stripe_invoice_id: The newest invoice at Stripe.
        grace_ends_at: When access ends while past due, on Temporal's clock.
        is_written_off: Whether the debt was written off.
        is_managed_at_stripe: Whether a schedule that is not ours manages the subscription.
        trial_end: When the trial ends or ended, on Stripe's clock.
        resume_at: When a paused subscription is resumed by itself.
        payment_retries: Open payment retries by Stripe's invoice id, oldest first.
        imported_stripe_invoice_ids: Invoices that were unpaid before the import of the
            subscription, and whose payment retries no administrator has started.
        owed: Steps that are still to be run; if read from the row, only the parked ones.
    """

    subscription_id: UUID
    user_id: UUID
    subscription_status: SubscriptionStatus
    stripe_subscription_id: str | None = None
    latest_stripe_invoice_id: str | None = None
    grace_ends_at: datetime | None = None
    is_written_off: bool = False
    is_managed_at_stripe: bool = False
    trial_end: datetime | None = None
    resume_at: datetime | None = None
    payment_retries: dict[str, RetryStatus] = {}
    imported_stripe_invoice_ids: tuple[str, ...] = ()
    owed: tuple[OwedStep, ...] = ()


class CommandAnswer(Frozen):
    """Answer to a command: a state, or an error."""

    state: SubscriptionState | None = None
    error_code: str | None = None
    message: str | None = None
    details: dict[str, Any] = {}


class SubscriptionStart(Frozen):
    """Input of `SubscriptionWorkflow.run`, with all that it carries over by continue-as-new.

    Args:
        subscription_id: Our id of the subscription.
        request: Request to create; None when a webhook starts the workflow.
        adoption: Subscription that was made at Stripe, and has no row yet.
        state: Carried over by continue-as-new.
        hint_ids: Stripe events for which Stripe was not read yet.
        answers: Answers to recent commands, because update ids are unique within one run only.
        announced_grace_end: End of grace for which an event was already stored.
        handled_timers: What the other timers were about when they were handled last.
        continue_as_new_after: History events after which the workflow continues as new.
        revision: Revision of the sequence of commands. In 1, the row is opened by way of the task
            queue.
    """

    subscription_id: UUID
    request: SubscriptionRequest | None = None
    adoption: Adoption | None = None
    state: SubscriptionState | None = None
    hint_ids: tuple[str, ...] = ()
    answers: dict[UUID, CommandAnswer] = {}
    announced_grace_end: datetime | None = None
    handled_timers: dict[Timer, datetime] = {}
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER
    revision: int = 1

    @classmethod
    def new(
        cls,
        subscription_id: UUID,
        request: SubscriptionRequest | None = None,
        adoption: Adoption | None = None,
    ) -> Self:
        """Return the input of a new workflow, which takes the present sequence of commands."""
        return cls(
            subscription_id=subscription_id,
            request=request,
            adoption=adoption,
            revision=SUBSCRIPTION_REVISION,
        )


class SyncResult(Frozen):
    """Result of a sync of a subscription with Stripe.

    Args:
        state: State after the sync.
        effects: Effects of the change, in order.
        owed_stripe_invoice_ids: Invoices that payment retries collect, oldest first.
        has_newer_settled: Whether a renewal newer than all of these is closed in any way.
        refund_payment_ids: Payments to refund, made for access that we had already ended.
        has_open_invoices: Whether invoices of a canceled subscription are still to be voided.
        late_stripe_invoice_ids: Invoices that were not settled when a cancel ended it.
        policy: Retry policy of the subscription.
    """

    state: SubscriptionState
    effects: tuple[Effect, ...] = ()
    owed_stripe_invoice_ids: tuple[str, ...] = ()
    has_newer_settled: bool = False
    refund_payment_ids: tuple[UUID, ...] = ()
    has_open_invoices: bool = False
    late_stripe_invoice_ids: tuple[str, ...] = ()
    policy: VersionedPolicy = VersionedPolicy()
