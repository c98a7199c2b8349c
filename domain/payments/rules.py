"""One-off payments and refunds: what may be asked of a payment.

Stripe holds the truth about money, so a payment's status is *followed*; commands are *decided*.
"""

from datetime import timedelta
from enum import StrEnum

from domain.payments.snapshots import IntentSnapshot

# How long the customer may take to authenticate.
ACTION_PERIOD = timedelta(hours=23)


class PaymentStatus(StrEnum):
    """Where a payment can stand."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    DISPUTED = "disputed"


class RefundStatus(StrEnum):
    """Where a refund can stand, by Stripe's names."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentCommandKind(StrEnum):
    """What can be asked of a payment."""

    CANCEL = "cancel"
    REFUND = "refund"
    RETRY_PARKED = "retry_parked"


OPEN = frozenset({PaymentStatus.PENDING, PaymentStatus.REQUIRES_ACTION})
# Refunds on their way; failed and canceled ones took nothing.
OPEN_REFUNDS = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION})
_PAID = frozenset(
    {
        PaymentStatus.SUCCEEDED,
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.REFUNDED,
        PaymentStatus.DISPUTED,
    },
)
_ALLOWED: dict[PaymentCommandKind, frozenset[PaymentStatus]] = {
    PaymentCommandKind.CANCEL: OPEN,
    PaymentCommandKind.RETRY_PARKED: frozenset(PaymentStatus),
    PaymentCommandKind.REFUND: frozenset(
        {PaymentStatus.SUCCEEDED, PaymentStatus.PARTIALLY_REFUNDED},
    ),
}


def refusal(status: PaymentStatus, command: PaymentCommandKind) -> str | None:
    """Return why a command does not fit a payment's status, for a person; None if it does."""
    return None if status in _ALLOWED[command] else f"the payment is {status}"


def refundable_cents(amount_cents: int, refunded_cents: int, pending_cents: int) -> int:
    """Return what is left to be refunded.

    Args:
        amount_cents: What was paid.
        refunded_cents: What was paid back.
        pending_cents: What is on its way back.

    Returns:
        Never less than 0.
    """
    return max(0, amount_cents - refunded_cents - pending_cents)


def status_of_intent(seen: IntentSnapshot) -> PaymentStatus:
    """Follow a payment intent, whatever was refunded of it."""
    match seen.intent_status:
        case "succeeded":
            return PaymentStatus.SUCCEEDED
        case "canceled":
            return PaymentStatus.CANCELED
        case "requires_action":
            return PaymentStatus.REQUIRES_ACTION
        case "requires_payment_method" if seen.decline_code is not None:
            return PaymentStatus.FAILED
        case _:
            return PaymentStatus.PENDING


def follow(before: PaymentStatus, seen: IntentSnapshot, refunded_cents: int) -> PaymentStatus:
    """Follow what Stripe says of a payment.

    Args:
        before: Where we believed it stood.
        seen: Its intent.
        refunded_cents: What has been paid back.

    Returns:
        Where it stands now.
    """
    status = status_of_intent(seen)
    if status is not PaymentStatus.SUCCEEDED:
        # Reason: Stripe never takes a success back, so anything else is a stale read.
        return before if before in _PAID else status
    if refunded_cents >= seen.amount_cents:
        return PaymentStatus.REFUNDED
    if before is PaymentStatus.DISPUTED:
        return before  # Reason: an intent does not show how its dispute stands.
    return PaymentStatus.PARTIALLY_REFUNDED if refunded_cents else PaymentStatus.SUCCEEDED
