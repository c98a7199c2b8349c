"""Snapshots of objects at Stripe, with the fields that the product needs; times are UTC."""

from uuid import UUID

from domain.base import Frozen


class PaymentSnapshot(Frozen):
    """Snapshot of one payment intent of an invoice."""

    stripe_payment_intent_id: str
    amount_cents: int
    is_succeeded: bool


class CardSnapshot(Frozen):
    """Snapshot of a card, without its number.

    Args:
        stripe_payment_method_id: Stripe's id of the card.
        fingerprint: Identical for the same card number, even if the card is added again.
    """

    stripe_payment_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str | None = None


class ChargeableSnapshot(Frozen):
    """Snapshot of a card or other payment method that may be charged.

    Args:
        stripe_payment_method_id: Stripe's id of the payment method.
        stripe_customer_id: Customer that it is attached to; None if it cannot be charged.
        fingerprint: Identity of the card number; Stripe's id if there is no fingerprint.
    """

    stripe_payment_method_id: str
    stripe_customer_id: str | None
    fingerprint: str


class CustomerSnapshot(Frozen):
    """Snapshot of a customer.

    Args:
        stripe_customer_id: Stripe's id of the customer.
        is_deleted: Whether it was deleted at Stripe; the other fields are then empty.
        currency_code: Currency in which the customer is billed; None before the first invoice.
        default_card_id: Card that invoices are charged to.
        cards: Cards that are attached to the customer.
    """

    stripe_customer_id: str
    is_deleted: bool = False
    currency_code: str | None = None
    default_card_id: str | None = None
    cards: tuple[CardSnapshot, ...] = ()


class RefundSnapshot(Frozen):
    """Snapshot of a refund.

    Args:
        stripe_refund_id: Stripe's id of the refund.
        refund_id: Our id, from the metadata; None if the refund was made by hand.
        amount_cents: Amount, in minor units.
        refund_status: Status at Stripe.
        reason: Reason, as stored by us or by Stripe.
        failure_code: Why the refund failed.
    """

    stripe_refund_id: str
    refund_id: UUID | None
    amount_cents: int
    refund_status: str
    reason: str
    failure_code: str | None


class IntentSnapshot(Frozen):
    """Snapshot of a payment intent.

    Args:
        stripe_payment_intent_id: Stripe's id of the payment intent.
        intent_status: Status at Stripe.
        amount_cents: Amount, in minor units.
        decline_code: Why the card was declined.
        next_action_url: Where the customer authenticates.
        is_disputed: Whether the bank has taken the payment back, for now or for good.
    """

    stripe_payment_intent_id: str
    intent_status: str
    amount_cents: int
    decline_code: str | None = None
    next_action_url: str | None = None
    is_disputed: bool = False
