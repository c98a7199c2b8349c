"""What crosses the border of `PaymentRetryWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.messages import Frozen
from domain.retries import (
    AttemptTrigger,
    ChargeResult,
    LastResort,
    OlderInvoices,
    Recovery,
    RetryStatus,
    VersionedPolicy,
)

ROTATE_AFTER = 1_500


class LastResortOrder(Frozen):
    """What a recovery asks of the mailbox, having tried all else."""

    stripe_invoice_id: str
    last_resort: LastResort
    after_uncollectible: LastResort = LastResort.CANCEL


class RetryStart(Frozen):
    """Argument of `PaymentRetryWorkflow.run`.

    Args:
        payment_retry_id: Primary key of its row.
        subscription_id: To whose mailbox it reports.
        user_id: Who owes.
        stripe_subscription_id: Whose card is charged.
        stripe_invoice_id: What is owed.
        grace_ends_at: When the waiting for a card ends, on Temporal's clock.
        policy: The version that this recovery keeps.
        recovery: Carried over by continue-as-new.
        attempt: Carried over by continue-as-new.
        rotate_after: Events of history after which the run continues as new.
    """

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    grace_ends_at: datetime
    policy: VersionedPolicy
    recovery: Recovery | None = None
    attempt: int = 0
    rotate_after: int = ROTATE_AFTER


class RetryOpened(Frozen):
    """What is known of an unpaid invoice when its recovery begins.

    Args:
        recovery: Where it stands; closed if there is nothing to recover.
        attempt: Number of the latest charge; 0 is Stripe's own.
        link: Where the customer can pay or authenticate.
        offered_card_id: A card that the customer has added since the charge failed.
    """

    recovery: Recovery
    attempt: int = 0
    link: str | None = None
    offered_card_id: str | None = None


class ChargeOutcome(Frozen):
    """How a charge ended."""

    result: ChargeResult
    decline_code: str | None = None
    advice_code: str | None = None
    stripe_payment_intent_id: str | None = None
    next_action_url: str | None = None


class ChargeOrder(Frozen):
    """Argument of `charge_invoice`: one attempt, the same on every activity retry of it."""

    payment_retry_id: UUID
    stripe_subscription_id: str
    stripe_invoice_id: str
    attempt: int
    trigger: AttemptTrigger
    attempted_at: datetime
    stripe_payment_method_id: str | None = None


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


class WishKind(StrEnum):
    """What can be asked of a recovery."""

    RETRY_NOW = "retry_now"
    OFFER_CARD = "offer_card"
    LOOK = "look"
    STEP_BACK = "step_back"
    GO_ON = "go_on"
    STOP = "stop"


class RetryWish(Frozen):
    """One entry of a recovery's box."""

    kind: WishKind
    command_id: UUID | None = None
    stripe_payment_method_id: str | None = None


class MailOrder(Frozen):
    """Argument of `send_mail`: what a recovery has to tell its customer.

    Args:
        message_key: Makes the message id: the same news is one mail, however often it is sent.
        user_id: To whom.
        retry_status: The news.
        next_attempt_at: When the card is tried again.
        link: Where the customer can pay or authenticate.
    """

    message_key: str
    user_id: UUID
    retry_status: RetryStatus
    next_attempt_at: datetime | None = None
    link: str | None = None
