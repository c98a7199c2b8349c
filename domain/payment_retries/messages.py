"""What crosses the border of `PaymentRetryWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import AttemptTrigger, ChargeResult, RetryFacts, RetryStatus
from domain.payment_retries.policy import LastResort, VersionedPolicy
from domain.workflow_names import CONTINUE_AS_NEW_AFTER


class LastResortRequest(Frozen):
    """What a payment retry asks of the mailbox, having tried all else."""

    stripe_invoice_id: str
    last_resort: LastResort
    after_uncollectible: LastResort = LastResort.CANCEL


class ChargeInput(Frozen):
    """Argument of `charge_invoice`: one attempt, the same on every activity retry of it.

    Args:
        is_repeated: An earlier activity has tried this attempt and may have charged.
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
    """Argument of `PaymentRetryWorkflow.run`.

    Args:
        payment_retry_id: Primary key of its row.
        subscription_id: To whose mailbox it reports.
        user_id: Who owes.
        stripe_subscription_id: Whose card is charged.
        stripe_invoice_id: What is owed.
        grace_ends_at: When access ends, on Temporal's clock.
        policy: The version that this payment retry keeps.
        is_suspended: A newer invoice is collected first.
        facts: Carried over by continue-as-new.
        attempt: Carried over by continue-as-new.
        charge: A charge that is still to be made; carried over by continue-as-new.
        offered_card_id: Carried over by continue-as-new.
        is_refresh_owed: Carried over by continue-as-new.
        link: Carried over by continue-as-new.
        mailed_keys: Carried over by continue-as-new.
        continue_as_new_after: Events of history after which the run continues as new.
    """

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    grace_ends_at: datetime
    policy: VersionedPolicy
    is_suspended: bool = False
    facts: RetryFacts | None = None
    attempt: int = 0
    charge: ChargeInput | None = None
    offered_card_id: str | None = None
    is_refresh_owed: bool = False
    link: str | None = None
    mailed_keys: tuple[str, ...] = ()
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class OpenRetryInput(Frozen):
    """Argument of `open_retry`.

    Args:
        start: Which invoice, and how it is to be collected.
        at: The workflow's time.
        is_repeated: An earlier activity has tried this and may have done it.
    """

    start: RetryStart
    at: datetime
    is_repeated: bool = False


class RetryOpened(Frozen):
    """What is known of an unpaid invoice when its payment retry begins, or begins again.

    Args:
        facts: Where it stands; closed if there is nothing to collect.
        attempt: Number of the latest charge; 0 is Stripe's own.
        link: Where the customer can pay or authenticate.
        offered_card_id: A card that the customer has set since the charge failed.
        amount_paid_cents: What was paid of the invoice, in minor units.
    """

    facts: RetryFacts
    attempt: int = 0
    link: str | None = None
    offered_card_id: str | None = None
    amount_paid_cents: int = 0


class ChargeOutcome(Frozen):
    """How a charge ended; or, where nothing was charged, how the invoice stands.

    Args:
        result: How it ended.
        decline_code: Why it failed, or was not made.
        advice_code: Stripe's advice about it.
        stripe_payment_intent_id: The intent of the invoice's charges.
        next_action_url: Where the customer can pay or authenticate.
        amount_paid_cents: What was paid of the invoice, in minor units; a credit note pays nothing.
    """

    result: ChargeResult
    decline_code: str | None = None
    advice_code: str | None = None
    stripe_payment_intent_id: str | None = None
    next_action_url: str | None = None
    amount_paid_cents: int = 0


class RetrySnapshot(Frozen):
    """What the row of a payment retry shows."""

    payment_retry_id: UUID
    retry_status: RetryStatus
    attempt_count: int
    next_attempt_at: datetime | None = None
    decline_code: str | None = None
    parked: tuple[ParkedStep, ...] = ()


class RetryReport(Frozen):
    """What a payment retry tells the mailbox that it belongs to.

    Args:
        stripe_invoice_id: Whose payment retry reports.
        retry_status: Where it stands now.
        attempt: Number of the charge that is reported; None if none was made.
        outcome: How that charge ended.
        last_resort: What it asks the mailbox to do, having tried all else.
    """

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt: int | None = None
    outcome: ChargeOutcome | None = None
    last_resort: LastResortRequest | None = None


class RetryNow(Frozen):
    """Argument of the `retry_now` and `retry_parked` updates; `command_id` is the update's id."""

    command_id: UUID


class RetryCommandKind(StrEnum):
    """What can be asked of a payment retry."""

    RETRY_NOW = "retry_now"
    RETRY_PARKED = "retry_parked"
    TRY_CARD = "try_card"
    REFRESH = "refresh"
    SUSPEND = "suspend"
    RESUME = "resume"
    STOP = "stop"


class RetryCommand(Frozen):
    """One entry of a payment retry's box.

    Args:
        command_id: Of whoever waits for an answer; None if nobody does.
        stripe_payment_method_id: The card, if one is offered.
    """

    kind: RetryCommandKind
    command_id: UUID | None = None
    stripe_payment_method_id: str | None = None
