"""Why a subscription is where it is, and what happens next, told to a person.

Only what our rows show is told. They do not show how an invoice is collected, nor whether there
will be a card: so nobody is told that a renewal is charged.
"""

from collections.abc import Iterator
from datetime import datetime

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.declines import CARD_REFUSED, LIMIT_REACHED, NO_CARD
from domain.payment_retries.lifecycle import CLOSED, RetryStatus
from domain.subscriptions.lifecycle import FINAL, Access, SubscriptionStatus


class OpenInvoice(Frozen):
    """An invoice that is finalized, and neither paid nor closed otherwise."""

    stripe_invoice_id: str
    hosted_invoice_url: str | None = None


class OpenRetry(Frozen):
    """What is known of the payment retry of one unpaid invoice."""

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt_count: int = 0
    next_attempt_at: datetime | None = None
    decline_code: str | None = None
    parked: tuple[ParkedStep, ...] = ()


class Facts(Frozen):
    """What is known of a subscription; see the columns of the same names.

    Args:
        newest_invoice_status: Of the newest finalized invoice; None if there is none.
        open_invoices: Those that are not paid, oldest first.
        payment_retries: Its payment retries, oldest first.
    """

    subscription_status: SubscriptionStatus
    access: Access
    stripe_subscription_id: str | None = None
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    grace_ends_at: datetime | None = None
    next_action_url: str | None = None
    is_written_off: bool = False
    parked: tuple[ParkedStep, ...] = ()
    newest_invoice_status: str | None = None
    open_invoices: tuple[OpenInvoice, ...] = ()
    payment_retries: tuple[OpenRetry, ...] = ()


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
    SubscriptionStatus.INCOMPLETE_EXPIRED: "The first payment was not made.",
    SubscriptionStatus.TRIALING: "The trial is running.",
    SubscriptionStatus.ACTIVE: "Stripe calls the subscription active.",
    SubscriptionStatus.PAST_DUE: "Stripe calls the subscription past due.",
    SubscriptionStatus.UNPAID: "Stripe calls the subscription unpaid.",
    SubscriptionStatus.PAUSED: "The subscription is paused: it makes no new invoices meanwhile.",
    SubscriptionStatus.CANCELED: "The subscription was canceled.",
}
# Why an active subscription is active, by its newest finalized invoice.
_ACTIVE = {
    "paid": "The latest finalized invoice is paid.",
    "void": "The latest finalized invoice is void.",
    "uncollectible": "The latest finalized invoice is marked uncollectible.",
}
_NOT_PAID = "An invoice is not paid."
_NONE_OPEN = "No finalized invoice is open."
_ASKS_WHAT_IS_OPEN = frozenset(
    {SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID},
)
_NOT_MADE_YET = "The subscription is being made at Stripe."
_PARKED = "A step could not be taken and is tried again later ({}): {}."
_WRITTEN_OFF = "The debt was given up: there is no access."
_GRACE = "Access goes on for a grace period while an invoice is not paid."
_ACCESS_GOES_ON = "Access goes on meanwhile."
_GRACE_OVER = "The grace period has ended, and access with it."
_DECLINED = "The last charge did not go through: {}."
_NOT_CHARGED = {
    NO_CARD: "There was no card that could be charged.",
    LIMIT_REACHED: "The card has been tried as often as the card networks allow.",
    CARD_REFUSED: "It was not charged again: the card was refused before.",
}
_TRIES = "Scheduled tries so far: {}."
_OF_RETRY = {
    RetryStatus.WAITING_PAYMENT_METHOD: (
        "The open invoice waits for another card: one that is set to pay is charged at once."
    ),
    RetryStatus.WAITING_AUTHENTICATION: "The bank asks the customer to confirm the payment.",
    RetryStatus.PAUSED: "An older invoice waits until the newer one is closed.",
    RetryStatus.CHARGING: "A charge is being tried right now.",
}
_OVER = Coming(what="It does not renew any more; to come back, start a new subscription.")
_FOLLOWED = Coming(what="What Stripe tells of it next is shown here.")
_TRIED_AGAIN = Coming(
    what="What could not be done is tried again by itself; an administrator can try it at once.",
)


def explain(facts: Facts) -> Explanation:
    """Tell why a subscription is where it is, and what happens next.

    Args:
        facts: What is known.

    Returns:
        At least one reason, and at least one thing that comes.
    """
    return Explanation(
        subscription_status=facts.subscription_status,
        access=facts.access,
        because=tuple(_because(facts)),
        next=tuple(_next(facts)),
    )


def _because(facts: Facts) -> Iterator[str]:
    yield from _of_status(facts)
    for parked in _all_parked(facts):
        yield _PARKED.format(parked.step, parked.message.rstrip("."))
    if facts.is_written_off:
        yield _WRITTEN_OFF
    elif facts.subscription_status is SubscriptionStatus.PAST_DUE:
        yield _of_grace(facts)
    for retry in _open(facts):
        if retry.decline_code is not None:
            known = _NOT_CHARGED.get(retry.decline_code)
            yield known or _DECLINED.format(retry.decline_code.replace("_", " "))
        if retry.attempt_count:
            yield _TRIES.format(retry.attempt_count)


def _of_status(facts: Facts) -> Iterator[str]:
    status = facts.subscription_status
    usual = _NOT_MADE_YET if _is_being_made(facts) else _BECAUSE[status]
    if status is SubscriptionStatus.ACTIVE:
        usual = _ACTIVE.get(facts.newest_invoice_status or "", usual)
    yield usual
    if facts.open_invoices and status is not SubscriptionStatus.INCOMPLETE:
        yield _NOT_PAID
    elif status in _ASKS_WHAT_IS_OPEN:
        yield _NONE_OPEN


def _of_grace(facts: Facts) -> str:
    if facts.access is not Access.GRACE:
        return _GRACE_OVER
    return _GRACE if facts.open_invoices else _ACCESS_GOES_ON


def _next(facts: Facts) -> list[Coming]:
    again = [_TRIED_AGAIN] if _all_parked(facts) else []
    if facts.subscription_status in FINAL:
        # Reason: what is still open of an ended one is not collected, and may be voided.
        return [*again, _OVER]
    coming = [*_of_invoices(facts), *again]
    is_in_grace = facts.access is Access.GRACE and facts.open_invoices
    if is_in_grace and facts.grace_ends_at is not None:
        what = "If an invoice is still open then, access ends."
        coming.append(Coming(what=what, at=facts.grace_ends_at))
    if (usual := _usual(facts)) is not None:
        coming.append(usual)
    end = facts.cancel_at
    if end is not None:
        coming = [each for each in coming if each.at is None or each.at < end]
        coming.append(Coming(what="The subscription ends, as asked.", at=end))
    return coming or [_FOLLOWED]


def _usual(facts: Facts) -> Coming | None:
    """Tell what comes if nobody does anything; None where our rows do not show it."""
    status = facts.subscription_status
    if status is SubscriptionStatus.INCOMPLETE:
        return _to_complete(facts)
    if status is SubscriptionStatus.TRIALING:
        return Coming(what="The trial ends.", at=facts.trial_end)
    # Reason: what was given up by us is ended or paused, even if Stripe calls it active.
    if status is SubscriptionStatus.ACTIVE and not facts.is_written_off:
        return Coming(what="The subscription renews.", at=facts.current_period_end)
    if status is SubscriptionStatus.PAUSED and facts.cancel_at is None:
        return Coming(what="It stays paused until somebody resumes or cancels it.")
    return None


def _to_complete(facts: Facts) -> Coming:
    if _is_being_made(facts):
        return Coming(what="Stripe answers, and the status follows.")
    where = f" at {facts.next_action_url}" if facts.next_action_url else ""
    return Coming(what=f"Pay the first invoice{where}; unpaid for 23 hours, it expires.")


def _of_invoices(facts: Facts) -> Iterator[Coming]:
    """Tell what becomes of what is open; the first invoice of all has a word of its own."""
    for retry in _open(facts):
        if not retry.parked:
            yield _of_retry(retry)
    collected = {retry.stripe_invoice_id for retry in _open(facts)}
    for invoice in facts.open_invoices:
        is_first = facts.subscription_status is SubscriptionStatus.INCOMPLETE
        if not is_first and invoice.stripe_invoice_id not in collected:
            page = invoice.hosted_invoice_url
            how = f"can be paid at {page}" if page else "waits for its payment"
            yield Coming(what=f"The open invoice {how}.")


def _of_retry(retry: OpenRetry) -> Coming:
    if (what := _OF_RETRY.get(retry.retry_status)) is not None:
        return Coming(what=what)
    if retry.next_attempt_at is None:
        return Coming(what="A payment retry looks at the open invoice.")
    return Coming(what="The payment is tried again.", at=retry.next_attempt_at)


def _is_being_made(facts: Facts) -> bool:
    is_first = facts.subscription_status is SubscriptionStatus.INCOMPLETE
    return is_first and facts.stripe_subscription_id is None


def _open(facts: Facts) -> list[OpenRetry]:
    return [retry for retry in facts.payment_retries if retry.retry_status not in CLOSED]


def _all_parked(facts: Facts) -> list[ParkedStep]:
    return [*facts.parked, *(step for retry in _open(facts) for step in retry.parked)]
