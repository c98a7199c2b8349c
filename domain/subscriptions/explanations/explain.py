"""Explains to customers why a subscription has its status, and what happens next.

Texts say only what our rows show. The rows do not show how a future invoice is collected or
whether there will be a card, so no text promises that a renewal is charged.
"""

from collections.abc import Iterator
from datetime import datetime

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.declines import CARD_REFUSED, LIMIT_REACHED, NO_CARD
from domain.payment_retries.lifecycle import CLOSED, PausedReason, RetryStatus
from domain.payments.money import amount_text
from domain.subscriptions.explanations.facts import (
    OpenRetry,
    PastEvent,
    SubscriptionFacts,
    WaitingChange,
)
from domain.subscriptions.lifecycle import FINAL, Access, SubscriptionStatus


class NextEvent(Frozen):
    """Something that will happen or can be done; `at` is None if its time is unknown."""

    what: str
    at: datetime | None = None


class Explanation(Frozen):
    """Why a subscription has its status, and what happens next.

    Args:
        because: Reasons, as sentences for the customer.
        led_here: Events since the status before this one, oldest first.
        next: What will happen or can be done.
    """

    subscription_status: SubscriptionStatus
    access: Access
    because: tuple[str, ...]
    led_here: tuple[PastEvent, ...]
    next: tuple[NextEvent, ...]


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
# Reasons of an active subscription, by the status of its newest finalized invoice.
_ACTIVE = {
    "paid": "The latest finalized invoice is paid.",
    "void": "The latest finalized invoice is void.",
    "uncollectible": "The latest finalized invoice is marked uncollectible.",
}
_NOT_PAID = "An invoice is not paid."
_NONE_OPEN = "There is no open invoice."
_ASKS_WHAT_IS_OPEN = frozenset(
    {SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID},
)
_NOT_MADE_YET = "The subscription is being created at Stripe."
_PARKED = "A step failed and will be tried again later ({}): {}."
_WRITTEN_OFF = "The unpaid amount was written off, so there is no access."
_GRACE = "Access continues for a grace period while an invoice is not paid."
_ACCESS_CONTINUES = "Access continues in the meantime."
_GRACE_OVER = "The grace period has ended, and access with it."
_DISPUTED = "The bank has taken back a payment of {}, because it is disputed."
_REFUND_FAILED = "A refund of {} did not arrive{}; it has to be paid back in another way."
_DECLINED = "The last charge did not go through: {}."
_NOT_CHARGED = {
    NO_CARD: "There was no card that could be charged.",
    LIMIT_REACHED: "The card has been tried as often as the card networks allow.",
    CARD_REFUSED: "The card was refused before, so it was not charged again.",
}
_TRIES = "Scheduled attempts so far: {}."
_OF_RETRY = {
    RetryStatus.WAITING_PAYMENT_METHOD: (
        "The open invoice waits for another card. A newly set card is charged at once."
    ),
    RetryStatus.WAITING_AUTHENTICATION: "The bank asks the customer to confirm the payment.",
    RetryStatus.PAUSED: "An older invoice waits until the newer invoice is closed.",
    RetryStatus.CHARGING: "A charge is being tried right now.",
}
_IMPORTED = (
    "The invoice was unpaid before the subscription was imported. It is not charged until an "
    "administrator starts its payment retry."
)
_OVER = NextEvent(
    what="The subscription does not renew any more; to come back, start a new subscription.",
)
_FOLLOWED = NextEvent(what="The next change at Stripe will be shown here.")
_PLANNED_AT_STRIPE = "A change that was planned at Stripe is made."
_TRIED_AGAIN = NextEvent(
    what="The failed step is tried again automatically; an administrator can retry it at once.",
)


def explain(facts: SubscriptionFacts) -> Explanation:
    """Explain why a subscription has its status, and what happens next.

    Args:
        facts: Facts of the subscription.

    Returns:
        At least one reason, and at least one next event.
    """
    return Explanation(
        subscription_status=facts.subscription_status,
        access=facts.access,
        because=tuple(_because(facts)),
        led_here=facts.events,
        next=tuple(_next(facts)),
    )


def _because(facts: SubscriptionFacts) -> Iterator[str]:
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
    for payment in facts.disputed_payments:
        yield _DISPUTED.format(amount_text(payment.amount_cents, payment.currency_code))
    for refund in facts.failed_refunds:
        why = f" ({refund.why.replace('_', ' ')})" if refund.why else ""
        yield _REFUND_FAILED.format(amount_text(refund.amount_cents, refund.currency_code), why)


def _of_status(facts: SubscriptionFacts) -> Iterator[str]:
    status = facts.subscription_status
    usual = _NOT_MADE_YET if _is_being_made(facts) else _BECAUSE[status]
    if status is SubscriptionStatus.ACTIVE:
        usual = _ACTIVE.get(facts.newest_invoice_status or "", usual)
    yield usual
    if facts.open_invoices and status is not SubscriptionStatus.INCOMPLETE:
        yield _NOT_PAID
    elif status in _ASKS_WHAT_IS_OPEN:
        yield _NONE_OPEN


def _of_grace(facts: SubscriptionFacts) -> str:
    if facts.access is not Access.GRACE:
        return _GRACE_OVER
    return _GRACE if facts.open_invoices else _ACCESS_CONTINUES


def _next(facts: SubscriptionFacts) -> list[NextEvent]:
    again = [_TRIED_AGAIN] if _all_parked(facts) else []
    if facts.subscription_status in FINAL:
        # Reason: open invoices of an ended subscription are not collected and may be voided.
        return [*again, _OVER]
    coming = [*_of_invoices(facts), *again]
    is_in_grace = facts.access is Access.GRACE and facts.open_invoices
    if is_in_grace and facts.grace_ends_at is not None:
        what = "If an invoice is still open then, access ends."
        coming.append(NextEvent(what=what, at=facts.grace_ends_at))
    if (usual := _usual(facts)) is not None:
        coming.append(usual)
    if facts.scheduled_change is not None:
        what = _of_change(facts, facts.scheduled_change)
        coming.append(NextEvent(what=what, at=facts.scheduled_change.at))
    end = facts.cancel_at
    if end is not None:
        coming = [each for each in coming if each.at is None or each.at < end]
        coming.append(NextEvent(what="The subscription ends, as requested.", at=end))
    return coming or [_FOLLOWED]


def _usual(facts: SubscriptionFacts) -> NextEvent | None:
    """Return what happens without any action; None if our rows do not show it."""
    status = facts.subscription_status
    if status is SubscriptionStatus.INCOMPLETE:
        return _to_complete(facts)
    if status is SubscriptionStatus.TRIALING:
        return NextEvent(what="The trial ends.", at=facts.trial_end)
    # Reason: a written-off subscription is ended or paused by us, even if active at Stripe.
    if status is SubscriptionStatus.ACTIVE and not facts.is_written_off:
        return NextEvent(what="The subscription renews.", at=facts.current_period_end)
    # Reason: a subscription whose end is planned is not resumed by itself.
    is_paused = status is SubscriptionStatus.PAUSED and facts.cancel_at is None
    if is_paused and facts.resume_at is not None:
        return NextEvent(what="The subscription is resumed, if it can be paid.", at=facts.resume_at)
    if is_paused:
        return NextEvent(what="The subscription stays paused until it is resumed or canceled.")
    return None


def _of_change(facts: SubscriptionFacts, change: WaitingChange) -> str:
    """Return what the change that waits changes."""
    parts = []
    if change.stripe_price_id != facts.stripe_price_id:
        is_other_plan = change.plan_name is not None and change.plan_id != facts.plan_id
        name, value = ("plan", change.plan_name) if is_other_plan else ("price", None)
        parts.append(f"{name} changes to {value or change.stripe_price_id}")
    if change.quantity != facts.quantity:
        parts.append(f"quantity {'to' if parts else 'changes to'} {change.quantity}")
    # Reason: a schedule that was made at Stripe may change other things.
    return f"The {', and the '.join(parts)}." if parts else _PLANNED_AT_STRIPE


def _to_complete(facts: SubscriptionFacts) -> NextEvent:
    if _is_being_made(facts):
        return NextEvent(what="The status changes once Stripe has created the subscription.")
    where = f" at {facts.next_action_url}" if facts.next_action_url else ""
    what = f"Pay the first invoice{where}; the subscription expires if it is unpaid after 23 hours."
    return NextEvent(what=what)


def _of_invoices(facts: SubscriptionFacts) -> Iterator[NextEvent]:
    """Yield what happens to open invoices, except for the first, which `_to_complete` covers."""
    for retry in _open(facts):
        if not retry.parked:
            yield _of_retry(retry)
    collected = {retry.stripe_invoice_id for retry in _open(facts)}
    for invoice in facts.open_invoices:
        is_first = facts.subscription_status is SubscriptionStatus.INCOMPLETE
        if not is_first and invoice.stripe_invoice_id not in collected:
            page = invoice.hosted_invoice_url
            how = f"can be paid at {page}" if page else "waits for its payment"
            yield NextEvent(what=f"The open invoice {how}.")


def _of_retry(retry: OpenRetry) -> NextEvent:
    what = _OF_RETRY.get(retry.retry_status)
    if retry.paused_reason is PausedReason.IMPORTED:
        what = _IMPORTED
    if what is not None:
        return NextEvent(what=what)
    if retry.next_attempt_at is None:
        return NextEvent(what="The open invoice is being checked.")
    return NextEvent(what="The payment is tried again.", at=retry.next_attempt_at)


def _is_being_made(facts: SubscriptionFacts) -> bool:
    is_first = facts.subscription_status is SubscriptionStatus.INCOMPLETE
    return is_first and facts.stripe_subscription_id is None


def _open(facts: SubscriptionFacts) -> list[OpenRetry]:
    return [retry for retry in facts.payment_retries if retry.retry_status not in CLOSED]


def _all_parked(facts: SubscriptionFacts) -> list[ParkedStep]:
    return [*facts.parked, *(step for retry in _open(facts) for step in retry.parked)]
