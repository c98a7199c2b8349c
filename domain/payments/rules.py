"""Rules of one-off payments and refunds.

Stripe is the source of truth about money, so the status of a payment follows Stripe. Commands are
allowed or refused here.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from domain.payments.snapshots import IntentSnapshot

# How long the customer has to authenticate.
ACTION_PERIOD = timedelta(hours=23)


class PaymentStatus(StrEnum):
    """The status of a payment."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    DISPUTED = "disputed"


class RefundStatus(StrEnum):
    """The status of a refund, by Stripe's names."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentCommandKind(StrEnum):
    """The commands of a payment."""

    CANCEL = "cancel"
    REFUND = "refund"
    RETRY_PARKED = "retry_parked"


OPEN = frozenset({PaymentStatus.PENDING, PaymentStatus.REQUIRES_ACTION})
# Refunds that are not finished; failed and canceled ones pay nothing back.
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
    """Return why a payment's status forbids a command, as text; None if it is allowed."""
    return None if status in _ALLOWED[command] else f"the payment is {status}"


def refundable_cents(amount_cents: int, refunded_cents: int, pending_cents: int) -> int:
    """Return the amount that can still be refunded.

    Args:
        amount_cents: Amount that was paid.
        refunded_cents: Amount that was paid back.
        pending_cents: Amount of refunds that are not finished.

    Returns:
        Amount in minor units; never less than 0.
    """
    return max(0, amount_cents - refunded_cents - pending_cents)


def spread(amount_cents: int, available: Mapping[UUID, int]) -> dict[UUID, int]:
    """Spread an amount over payments, in their order, up to what each has left.

    Args:
        amount_cents: Amount to spread.
        available: What is left of each payment, by its id.

    Returns:
        The parts that are not zero; less in total if there is not as much left.
    """
    parts = {}
    for payment_id, left in available.items():
        part = min(amount_cents, left)
        if part > 0:
            parts[payment_id] = part
            amount_cents -= part
    return parts


def status_of_intent(intent: IntentSnapshot) -> PaymentStatus:
    """Return the payment status of a payment intent, without regard to refunds."""
    match intent.intent_status:
        case "succeeded":
            return PaymentStatus.SUCCEEDED
        case "canceled":
            return PaymentStatus.CANCELED
        case "requires_action":
            return PaymentStatus.REQUIRES_ACTION
        case "requires_payment_method" if intent.decline_code is not None:
            return PaymentStatus.FAILED
        case _:
            return PaymentStatus.PENDING


def follow(before: PaymentStatus, intent: IntentSnapshot, refunded_cents: int) -> PaymentStatus:
    """Return the status of a payment after a read from Stripe.

    Args:
        before: Status stored so far.
        intent: Payment intent as read from Stripe.
        refunded_cents: Amount that has been paid back.

    Returns:
        The new status.
    """
    status = status_of_intent(intent)
    if status is not PaymentStatus.SUCCEEDED:
        # Reason: a payment that succeeded at Stripe stays so; any other status is a stale read.
        return before if before in _PAID else status
    if intent.is_disputed:
        return PaymentStatus.DISPUTED
    if refunded_cents >= intent.amount_cents:
        return PaymentStatus.REFUNDED
    return PaymentStatus.PARTIALLY_REFUNDED if refunded_cents else PaymentStatus.SUCCEEDED
