"""Recovering an unpaid invoice: the policy, and the one function that decides what comes next."""

from datetime import datetime
from enum import StrEnum

from domain.base import Frozen
from domain.payment_retries.declines import CARD_REFUSED, DeclineClass, classify
from domain.payment_retries.policy import RetryPolicy


class RetryStatus(StrEnum):
    """Where one invoice's payment retry stands."""

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


class AttemptTrigger(StrEnum):
    """Who asked for a charge. Only scheduled tries use up the schedule."""

    INITIAL = "initial"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    NEW_CARD = "new_card"


class ChargeResult(StrEnum):
    """How a charge ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ALREADY_PAID = "already_paid"  # somebody else has paid, or a credit note
    NOT_CHARGED = "not_charged"  # there is no card that may be charged: another one is needed
    GONE = "gone"  # void, deleted, or not ours to charge
    WRITTEN_OFF = "written_off"  # uncollectible


class RetryFacts(Frozen):
    """What is known of one invoice's payment retry; times are Temporal's.

    Args:
        retry_status: Where it stands.
        attempt_count: Scheduled tries done so far.
        waits_from: From when the present wait runs: the last scheduled try, or the first failure.
        grace_ends_at: When access ends.
        asked_at: Since when the customer is asked for a card or to authenticate; None if not.
        decline_code: Why the last charge failed, or was not made.
        advice_code: Stripe's advice about it.
    """

    retry_status: RetryStatus = RetryStatus.WAITING
    attempt_count: int = 0
    waits_from: datetime
    grace_ends_at: datetime
    asked_at: datetime | None = None
    decline_code: str | None = None
    advice_code: str | None = None

    @property
    def decline_class(self) -> DeclineClass:
        """What the last decline means for the next try."""
        return classify(self.decline_code, self.advice_code)


class NextStep(Frozen):
    """What a payment retry does next.

    Args:
        retry_status: The status to show until then.
        at: When to act; None to wait for a command.
        action: What to do at that time.
    """

    class Action(StrEnum):
        """What a payment retry can do by itself."""

        CHARGE = "charge"
        LAST_RESORT = "last_resort"
        NOTHING = "nothing"

    retry_status: RetryStatus
    at: datetime | None = None
    action: Action = Action.NOTHING


# How an invoice that is not open any more ends its payment retry, by Stripe's word.
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
    """Tell what an invoice's status at Stripe means for its payment retry.

    Args:
        invoice_status: Stripe's word.

    Returns:
        `recovered` if it was paid, `written_off` if it is uncollectible, `canceled` if it is void,
        else `waiting`.
    """
    return _ENDS.get(invoice_status, RetryStatus.WAITING)


def next_step(policy: RetryPolicy, facts: RetryFacts) -> NextStep:
    """Decide what a payment retry does next.

    Args:
        policy: The version that this payment retry keeps.
        facts: What is known.

    Returns:
        The status to show, and what to do when.
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
        # Reason: after the last failure there is nothing to wait for.
        at, action = facts.waits_from, NextStep.Action.LAST_RESORT
        return NextStep(retry_status=RetryStatus.WAITING, at=at, action=action)
    due_at = facts.waits_from + waits[facts.attempt_count]
    return NextStep(retry_status=RetryStatus.WAITING, at=due_at, action=NextStep.Action.CHARGE)


def after_charge(
    facts: RetryFacts,
    trigger: AttemptTrigger,
    result: ChargeResult,
    decline: tuple[str | None, str | None],
    now: datetime,
) -> RetryFacts:
    """Work a charge's outcome into what is known.

    Args:
        facts: What was known before.
        trigger: What the charge was made for.
        result: How it ended.
        decline: Decline code and advice code, if it failed; or why it was not made.
        now: When it ended, on Temporal's clock.

    Returns:
        What is known now.
    """
    is_scheduled = trigger is AttemptTrigger.SCHEDULED
    changes: dict[str, object] = {}
    if (ended := _STATUS_AFTER.get(result)) is not None:
        changes["retry_status"] = ended
    elif not (decline[0] == CARD_REFUSED and facts.decline_class is DeclineClass.HARD):
        # Reason: that a card is not charged again says less than why it was declined.
        changes |= {"decline_code": decline[0], "advice_code": decline[1]}
    if result in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
        changes["attempt_count"] = facts.attempt_count + is_scheduled
    # Reason: while it waited for the customer the schedule slept; it resumes from here.
    was_asleep = facts.retry_status is not RetryStatus.WAITING
    if result is ChargeResult.FAILED and (is_scheduled or was_asleep):
        changes["waits_from"] = now
    return with_request(facts.model_copy(update=changes), now)


def with_request(facts: RetryFacts, now: datetime) -> RetryFacts:
    """Note since when the customer is asked for something, or that they are not any more."""
    is_asked = facts.decline_class is not DeclineClass.SOFT
    asked_at = (facts.asked_at or now) if is_asked else None
    return facts.model_copy(update={"asked_at": asked_at})


def _deadline(policy: RetryPolicy, facts: RetryFacts) -> datetime:
    """Return when the last resort follows while a payment retry waits for the customer."""
    if facts.asked_at is None:
        return facts.grace_ends_at
    return max(facts.grace_ends_at, facts.asked_at + policy.time_to_respond)
