"""Inputs and results of `PaymentRetryWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import (
    AttemptTrigger,
    ChargeResult,
    PausedReason,
    RetryFacts,
    RetryStatus,
)
from domain.payment_retries.policy import LastResort, VersionedPolicy
from domain.workflow_names import CONTINUE_AS_NEW_AFTER


class LastResortRequest(Frozen):
    """The last resort that a payment retry asks of its subscription's mailbox."""

    stripe_invoice_id: str
    last_resort: LastResort
    after_uncollectible: LastResort = LastResort.CANCEL


class ChargeInput(Frozen):
    """Input of `charge_invoice`: one attempt, identical on every activity retry.

    Args:
        is_repeated: Whether an earlier activity tried this attempt and may have charged.
    """

    payment_retry_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    attempt: int
    trigger: AttemptTrigger
    attempted_at: datetime
    stripe_payment_method_id: str | None = None
    is_repeated: bool = False


class RetryStart(Frozen):
    """Input of `PaymentRetryWorkflow.run`.

    Args:
        payment_retry_id: Primary key of the row.
        subscription_id: Subscription whose mailbox gets the reports.
        user_id: User who owes the invoice.
        stripe_subscription_id: Subscription at Stripe whose card is charged.
        stripe_invoice_id: Invoice to collect.
        grace_ends_at: When access ends, on Temporal's clock.
        policy: Policy version of this payment retry.
        is_suspended: Whether a newer invoice is collected first.
        is_imported: Whether nothing is charged or changed until an administrator starts it.
        released_at: When an administrator started it; carried over by continue-as-new.
        facts: Carried over by continue-as-new.
        attempt: Carried over by continue-as-new.
        charge: Charge that is still to be made; carried over by continue-as-new.
        offered_card_id: Carried over by continue-as-new.
        is_refresh_owed: Carried over by continue-as-new.
        link: Carried over by continue-as-new.
        mailed_keys: Carried over by continue-as-new.
        continue_as_new_after: History events after which the workflow continues as new.
    """

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    grace_ends_at: datetime
    policy: VersionedPolicy
    is_suspended: bool = False
    is_imported: bool = False
    released_at: datetime | None = None
    facts: RetryFacts | None = None
    attempt: int = 0
    charge: ChargeInput | None = None
    offered_card_id: str | None = None
    is_refresh_owed: bool = False
    link: str | None = None
    mailed_keys: tuple[str, ...] = ()
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class OpenRetryInput(Frozen):
    """Input of `open_retry`.

    Args:
        start: Input of the workflow.
        at: Workflow time.
        is_repeated: Whether an earlier activity tried this and may have done it.
        is_imported: Whether Stripe's own collection is left as it is.
    """

    start: RetryStart
    at: datetime
    is_repeated: bool = False
    is_imported: bool = False


class OpenRetryResult(Frozen):
    """Result of `open_retry`: the state of the unpaid invoice when its payment retry opens.

    Args:
        facts: Facts of the payment retry; closed if there is nothing to collect.
        attempt: Number of the latest charge; 0 is the first charge, made by Stripe.
        link: Page on which the customer can pay or authenticate.
        offered_card_id: Card that the customer set after the charge failed.
        amount_paid_cents: Amount paid of the invoice, in minor units.
    """

    facts: RetryFacts
    attempt: int = 0
    link: str | None = None
    offered_card_id: str | None = None
    amount_paid_cents: int = 0


class ChargeOutcome(Frozen):
    """Outcome of a charge; or, if nothing was charged, the state of the invoice.

    Args:
        result: Result of the charge.
        decline_code: Why the charge failed or was not made.
        advice_code: Stripe's advice about the charge.
        stripe_payment_intent_id: Payment intent of the invoice.
        next_action_url: Page on which the customer can pay or authenticate.
        amount_paid_cents: Amount paid of the invoice, in minor units, without credit notes.
    """

    result: ChargeResult
    decline_code: str | None = None
    advice_code: str | None = None
    stripe_payment_intent_id: str | None = None
    next_action_url: str | None = None
    amount_paid_cents: int = 0


class RetrySnapshot(Frozen):
    """Values of a payment retry's row."""

    payment_retry_id: UUID
    retry_status: RetryStatus
    attempt_count: int
    next_attempt_at: datetime | None = None
    decline_code: str | None = None
    paused_reason: PausedReason | None = None
    parked: tuple[ParkedStep, ...] = ()


class RetryReport(Frozen):
    """Report of a payment retry to its subscription's mailbox.

    Args:
        stripe_invoice_id: Invoice of the payment retry.
        retry_status: New status of the payment retry.
        attempt: Number of the reported charge; None if none was made.
        outcome: Outcome of that charge.
        last_resort: Last resort to take, once all retries are exhausted.
        is_imported: Whether it waits for an administrator.
    """

    stripe_invoice_id: str
    retry_status: RetryStatus
    is_imported: bool = False
    attempt: int | None = None
    outcome: ChargeOutcome | None = None
    last_resort: LastResortRequest | None = None


class RetryNow(Frozen):
    """Input of the `retry_now` and `retry_parked` updates; `command_id` is the update's id."""

    command_id: UUID


class RetryCommandKind(StrEnum):
    """The commands of a payment retry."""

    RETRY_NOW = "retry_now"
    RETRY_PARKED = "retry_parked"
    TRY_CARD = "try_card"
    REFRESH = "refresh"
    SUSPEND = "suspend"
    RESUME = "resume"
    RELEASE = "release"
    STOP = "stop"


class RetryCommand(Frozen):
    """One entry of a payment retry's mailbox.

    Args:
        command_id: Command whose caller waits for an answer; None if no caller waits.
        stripe_payment_method_id: Card to try, for `try_card`.
    """

    kind: RetryCommandKind
    command_id: UUID | None = None
    stripe_payment_method_id: str | None = None
