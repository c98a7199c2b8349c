"""What a mailbox knows, starts from and answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.payment_retries.lifecycle import RetryStatus
from domain.payment_retries.policy import VersionedPolicy
from domain.subscriptions.lifecycle import Effect, SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.steps import OwedStep
from domain.workflow_names import CONTINUE_AS_NEW_AFTER


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
        payment_retries: Open payment retries by Stripe's invoice id, oldest first.
        owed: Steps that are still to be taken; read from the row, only those that are parked.
    """

    subscription_id: UUID
    user_id: UUID
    subscription_status: SubscriptionStatus
    stripe_subscription_id: str | None = None
    latest_stripe_invoice_id: str | None = None
    grace_ends_at: datetime | None = None
    is_written_off: bool = False
    payment_retries: dict[str, RetryStatus] = {}
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
        announced_grace_end: The end of grace that was told already.
        continue_as_new_after: Events of history after which the run continues as new.
    """

    subscription_id: UUID
    request: SubscriptionRequest | None = None
    state: SubscriptionState | None = None
    hint_ids: tuple[str, ...] = ()
    answers: dict[UUID, CommandAnswer] = {}
    announced_grace_end: datetime | None = None
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


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
