"""Why a subscription is where it is, and what happens next, told to a person."""

from datetime import datetime

from domain.declines import LIMIT_REACHED, NO_CARD
from domain.messages import Frozen
from domain.parked import ParkedStep
from domain.retries import CLOSED, RetryStatus
from domain.subscriptions import FINAL, Access, SubscriptionStatus


class RecoveryFacts(Frozen):
    """What is known of the recovery of one unpaid invoice."""

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt_count: int = 0
    next_attempt_at: datetime | None = None
    decline_code: str | None = None


class Facts(Frozen):
    """What is known of a subscription; see the columns of the same names."""

    subscription_status: SubscriptionStatus
    access: Access
    stripe_subscription_id: str | None = None
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    grace_ends_at: datetime | None = None
    next_action_url: str | None = None
    parked: tuple[ParkedStep, ...] = ()
    is_written_off: bool = False
    is_owing: bool = False
    stripe_price_id: str | None = None
    is_price_foreign: bool = False
    recoveries: tuple[RecoveryFacts, ...] = ()


class Coming(Frozen):
    """Something that will happen, or that somebody can do; `at` is None if nobody knows when."""

    what: str
    at: datetime | None = None


class Explanation(Frozen):
    """Why a subscription is where it is, and what happens next."""

    subscription_status: SubscriptionStatus
    access: Access
    because: tuple[str, ...]
    next: tuple[Coming, ...]


_BECAUSE = {
    SubscriptionStatus.INCOMPLETE: "The first payment has not come through yet.",
    SubscriptionStatus.INCOMPLETE_EXPIRED: "The first payment was not made in time.",
    SubscriptionStatus.TRIALING: "The trial is running; nothing has to be paid yet.",
    SubscriptionStatus.ACTIVE: "The latest invoice is paid.",
    SubscriptionStatus.PAST_DUE: "An invoice is not paid.",
    SubscriptionStatus.UNPAID: "An invoice is not paid, and Stripe no longer tries.",
    SubscriptionStatus.PAUSED: "The subscription is paused: nothing is billed meanwhile.",
    SubscriptionStatus.CANCELED: "The subscription was canceled.",
}
_NOT_MADE_YET = "The subscription is being made at Stripe."
_PARKED = "A step could not be taken and is tried again later ({}): {}."
_NOTHING_OWED = "All finalized invoices are paid; the status follows with the next one."
_FOREIGN_PRICE = "It is billed by a price that belongs to no plan here: {}."
_WRITTEN_OFF = "The debt was given up, and access ended with it."
_GRACE = "Access goes on for a grace period while the payment is put right."
_GRACE_OVER = "The grace period has ended, and access with it."
_DECLINED = "The last charge was declined: {}."
_NOT_CHARGED = {
    NO_CARD: "There is no card that could be charged.",
    LIMIT_REACHED: "The card has been tried as often as the card networks allow.",
}
_TRIES = "Scheduled tries so far: {}."


def explain(facts: Facts) -> Explanation:
    """Tell why a subscription is where it is, and what happens next.

    Args:
        facts: What is known; recoveries oldest first.

    Returns:
        At least one reason, and at least one thing that comes.
    """
    return Explanation(
        subscription_status=facts.subscription_status,
        access=facts.access,
        because=tuple(_because(facts)),
        next=tuple(_next(facts)),
    )


def _because(facts: Facts) -> list[str]:
    is_past_due = facts.subscription_status is SubscriptionStatus.PAST_DUE
    usual = _BECAUSE[facts.subscription_status]
    if is_past_due and not facts.is_owing:
        usual = _NOTHING_OWED
    reasons = [_NOT_MADE_YET if _is_being_made(facts) else usual]
    reasons += [_PARKED.format(each.step, each.message.rstrip(".")) for each in facts.parked]
    if facts.is_price_foreign:
        reasons.append(_FOREIGN_PRICE.format(facts.stripe_price_id))
    if facts.is_written_off:
        reasons.append(_WRITTEN_OFF)
    elif is_past_due:
        reasons.append(_GRACE if facts.access is Access.GRACE else _GRACE_OVER)
    for recovery in _open(facts):
        if recovery.decline_code is not None:
            known = _NOT_CHARGED.get(recovery.decline_code)
            reasons.append(known or _DECLINED.format(recovery.decline_code.replace("_", " ")))
        if recovery.attempt_count:
            reasons.append(_TRIES.format(recovery.attempt_count))
    return reasons


def _next(facts: Facts) -> list[Coming]:
    if facts.subscription_status in FINAL and not facts.parked:
        return [Coming(what="Nothing more happens; to come back, start a new subscription.")]
    coming = [_of_recovery(recovery) for recovery in _open(facts)]
    if facts.parked:
        coming.append(Coming(what="Support looks into it; nothing else has to be done."))
    if facts.access is Access.GRACE and facts.grace_ends_at is not None:
        coming.append(
            Coming(what="Unless it is paid by then, access ends.", at=facts.grace_ends_at)
        )
    if facts.cancel_at is not None:
        coming.append(Coming(what="The subscription ends, as asked.", at=facts.cancel_at))
    elif (usual := _usual(facts)) is not None:
        coming.append(usual)
    # Reason: owed, and no recovery known: Stripe's news may be a moment ahead of ours.
    return coming or [Coming(what="The open invoice is looked at, and tried again or closed.")]


def _usual(facts: Facts) -> Coming | None:
    """Tell what comes if nobody does anything; None while money is owed."""
    if facts.subscription_status is SubscriptionStatus.INCOMPLETE:
        return _to_complete(facts)
    if facts.subscription_status is SubscriptionStatus.TRIALING:
        return Coming(what="The trial ends and the first payment is taken.", at=facts.trial_end)
    if facts.subscription_status is SubscriptionStatus.ACTIVE:
        what = "The subscription renews and the card is charged."
        return Coming(what=what, at=facts.current_period_end)
    if facts.subscription_status is SubscriptionStatus.PAUSED:
        return Coming(what="It stays paused until somebody resumes or cancels it.")
    return None


def _to_complete(facts: Facts) -> Coming:
    if _is_being_made(facts):
        return Coming(what="Stripe answers, and the first payment is taken.")
    where = f" at {facts.next_action_url}" if facts.next_action_url else ""
    return Coming(what=f"Pay the first invoice{where}; unpaid for 23 hours, it expires.")


def _of_recovery(recovery: RecoveryFacts) -> Coming:
    if recovery.retry_status is RetryStatus.WAITING_PAYMENT_METHOD:
        what = "This card will not be tried again: add another one, and it is charged at once."
        return Coming(what=what)
    if recovery.retry_status is RetryStatus.WAITING_AUTHENTICATION:
        return Coming(what="The bank asks the customer to confirm the payment.")
    if recovery.retry_status is RetryStatus.PAUSED:
        return Coming(what="An older invoice waits until the newer one is closed.")
    if recovery.retry_status is RetryStatus.CHARGING:
        return Coming(what="The card is being charged right now.")
    return Coming(what="The card is charged again.", at=recovery.next_attempt_at)


def _is_being_made(facts: Facts) -> bool:
    is_first = facts.subscription_status is SubscriptionStatus.INCOMPLETE
    return is_first and facts.stripe_subscription_id is None


def _open(facts: Facts) -> list[RecoveryFacts]:
    return [recovery for recovery in facts.recoveries if recovery.retry_status not in CLOSED]
