"""Lifecycle of a payment retry: its facts, and the function that decides its next step."""

from datetime import datetime
from enum import StrEnum

from domain.base import Frozen
from domain.payment_retries.declines import CARD_REFUSED, DeclineClass, classify
from domain.payment_retries.policy import RetryPolicy


class RetryStatus(StrEnum):
    """The status of a payment retry."""

    WAITING = "waiting"
    CHARGING = "charging"
    WAITING_PAYMENT_METHOD = "waiting_payment_method"
    WAITING_AUTHENTICATION = "waiting_authentication"
    PAUSED = "paused"
    RECOVERED = "recovered"
    EXHAUSTED = "exhausted"
    CANCELED = "canceled"
    WRITTEN_OFF = "written_off"


CLOSED = frozenset(
    {
        RetryStatus.RECOVERED,
        RetryStatus.EXHAUSTED,
        RetryStatus.CANCELED,
        RetryStatus.WRITTEN_OFF,
    },
)


class PausedReason(StrEnum):
    """Why a payment retry is paused."""

    IMPORTED = "imported"  # until an administrator starts the payment retries of an import
    NEWER_INVOICE = "newer_invoice"  # until the newer invoice is closed


class AttemptTrigger(StrEnum):
    """Why a charge is made; only scheduled charges use up the schedule."""

    INITIAL = "initial"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    NEW_CARD = "new_card"


class ChargeResult(StrEnum):
    """The result of a charge."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ALREADY_PAID = "already_paid"  # paid in another way, or by a credit note
    NOT_CHARGED = "not_charged"  # no card may be charged: another one is needed
    GONE = "gone"  # void, deleted, or not to be charged by us
    WRITTEN_OFF = "written_off"  # uncollectible


class RetryFacts(Frozen):
    """The facts by which a payment retry decides; times are on Temporal's clock.

    Args:
        retry_status: Status of the payment retry.
        attempt_count: Scheduled charges made so far.
        waits_from: Start of the current wait: the last scheduled charge, or the first failure.
        grace_ends_at: When access ends.
        asked_at: When the customer was asked for a card or to authenticate; None if not asked.
        decline_code: Why the last charge failed or was not made.
        advice_code: Stripe's advice about the last charge.
        is_imported: Whether the invoice was unpaid before its subscription was imported, and no
            administrator has started its payment retry yet.
    """

    retry_status: RetryStatus = RetryStatus.WAITING
    attempt_count: int = 0
    waits_from: datetime
    grace_ends_at: datetime
    asked_at: datetime | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    is_imported: bool = False

    @property
    def paused_reason(self) -> PausedReason | None:
        """Why the payment retry is paused; None if it is not."""
        if self.retry_status is not RetryStatus.PAUSED:
            return None
        return PausedReason.IMPORTED if self.is_imported else PausedReason.NEWER_INVOICE

    @property
    def decline_class(self) -> DeclineClass:
        """Class of the last decline."""
        return classify(self.decline_code, self.advice_code)


class NextStep(Frozen):
    """The next step of a payment retry.

    Args:
        retry_status: Status to show until then.
        at: When to act; None to wait for a command.
        action: What to do at that time.
    """

    class Action(StrEnum):
        """The actions that a payment retry takes without a command."""

        CHARGE = "charge"
        LAST_RESORT = "last_resort"
        NOTHING = "nothing"

    retry_status: RetryStatus
    at: datetime | None = None
    action: Action = Action.NOTHING


# Final status of the payment retry by the status of its invoice at Stripe.
_ENDS = {
    "paid": RetryStatus.RECOVERED,
    "uncollectible": RetryStatus.WRITTEN_OFF,
    "void": RetryStatus.CANCELED,
}
_STATUS_AFTER = {
    ChargeResult.SUCCEEDED: RetryStatus.RECOVERED,
    ChargeResult.ALREADY_PAID: RetryStatus.RECOVERED,
    ChargeResult.WRITTEN_OFF: RetryStatus.WRITTEN_OFF,
    ChargeResult.GONE: RetryStatus.CANCELED,
}


def status_of_invoice(invoice_status: str) -> RetryStatus:
    """Return the status of a payment retry that follows from its invoice's status.

    Args:
        invoice_status: Status at Stripe.

    Returns:
        `recovered` for a paid invoice, `written_off` for an uncollectible one, `canceled` for a
        void one, else `waiting`.
    """
    return _ENDS.get(invoice_status, RetryStatus.WAITING)


def next_step(policy: RetryPolicy, facts: RetryFacts) -> NextStep:
    """Decide the next step of a payment retry.

    Args:
        policy: Policy version of this payment retry.
        facts: Current facts.

    Returns:
        The status to show, the next action, and its time.
    """
    if facts.retry_status in CLOSED or facts.retry_status is RetryStatus.PAUSED:
        return NextStep(retry_status=facts.retry_status)
    if facts.decline_class is not DeclineClass.SOFT:
        is_hard = facts.decline_class is DeclineClass.HARD
        waiting_for = RetryStatus.WAITING_AUTHENTICATION
        return NextStep(
            retry_status=RetryStatus.WAITING_PAYMENT_METHOD if is_hard else waiting_for,
            at=_deadline(policy, facts),
            action=NextStep.Action.LAST_RESORT,
        )
    waits = policy.schedule_for(facts.decline_code, facts.advice_code)
    if facts.attempt_count >= len(waits):
        # Reason: after the last scheduled charge there is nothing left to wait for.
        at, action = facts.waits_from, NextStep.Action.LAST_RESORT
        return NextStep(retry_status=RetryStatus.WAITING, at=at, action=action)
    due_at = facts.waits_from + waits[facts.attempt_count]
    return NextStep(retry_status=RetryStatus.WAITING, at=due_at, action=NextStep.Action.CHARGE)


def facts_after_charge(
    facts: RetryFacts,
    trigger: AttemptTrigger,
    result: ChargeResult,
    decline: tuple[str | None, str | None],
    now: datetime,
) -> RetryFacts:
    """Return the facts of a payment retry after a charge.

    Args:
        facts: Facts before the charge.
        trigger: Why the charge was made.
        result: Result of the charge.
        decline: Decline code and advice code of a charge that failed or was not made.
        now: When the charge ended, on Temporal's clock.

    Returns:
        The facts after the charge.
    """
    is_scheduled = trigger is AttemptTrigger.SCHEDULED
    changes: dict[str, object] = {}
    if (ended := _STATUS_AFTER.get(result)) is not None:
        changes["retry_status"] = ended
    elif not (decline[0] == CARD_REFUSED and facts.decline_class is DeclineClass.HARD):
        # Reason: the code of the original decline says more than `card_refused_before`.
        changes |= {"decline_code": decline[0], "advice_code": decline[1]}
    if result in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
        changes["attempt_count"] = facts.attempt_count + is_scheduled
    # Reason: the schedule stood still while the retry waited for the customer; it resumes now.
    was_suspended = facts.retry_status is not RetryStatus.WAITING
    if result is ChargeResult.FAILED and (is_scheduled or was_suspended):
        changes["waits_from"] = now
    return with_asked_at(facts.model_copy(update=changes), now)


def with_asked_at(facts: RetryFacts, now: datetime) -> RetryFacts:
    """Set or clear the time since which the customer is asked for a card or to authenticate."""
    is_asked = facts.decline_class is not DeclineClass.SOFT
    asked_at = (facts.asked_at or now) if is_asked else None
    return facts.model_copy(update={"asked_at": asked_at})


def _deadline(policy: RetryPolicy, facts: RetryFacts) -> datetime:
    """Return when a payment retry stops waiting for the customer and takes the last resort."""
    if facts.asked_at is None:
        return facts.grace_ends_at
    return max(facts.grace_ends_at, facts.asked_at + policy.time_to_respond)
