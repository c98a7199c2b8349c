"""Stripe's objects as the product sees them: the few fields that it goes by, times in UTC."""

from uuid import UUID

from domain.base import Frozen


class PaymentSnapshot(Frozen):
    """One payment intent of an invoice, as Stripe shows it."""

    stripe_payment_intent_id: str
    amount_cents: int
    is_succeeded: bool


class CardSnapshot(Frozen):
    """A card as Stripe shows it; never its number.

    Args:
        stripe_payment_method_id: Stripe's id of it.
        fingerprint: The same for the same card number, however often it was added.
    """

    stripe_payment_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str | None = None


class ChargeableSnapshot(Frozen):
    """What can be charged: a card or any other payment method, attached to a customer.

    Args:
        stripe_payment_method_id: Stripe's id of it.
        stripe_customer_id: Whose it is; None if it is nobody's, and cannot be charged.
        fingerprint: By which the networks know it; Stripe's id where it has none.
    """

    stripe_payment_method_id: str
    stripe_customer_id: str | None
    fingerprint: str


class CustomerSnapshot(Frozen):
    """A customer as Stripe shows it.

    Args:
        stripe_customer_id: Stripe's id of it.
        is_deleted: It was deleted at Stripe; nothing else is known of it then.
        currency_code: The one currency that it is billed in; None before its first bill.
        default_card_id: What its invoices are charged to.
        cards: The cards that are attached to it.
    """

    stripe_customer_id: str
    is_deleted: bool = False
    currency_code: str | None = None
    default_card_id: str | None = None
    cards: tuple[CardSnapshot, ...] = ()


class RefundSnapshot(Frozen):
    """A refund as Stripe shows it.

    Args:
        stripe_refund_id: Stripe's id of it.
        refund_id: Ours, from its metadata; None if it was made by hand.
        amount_cents: How much.
        refund_status: Stripe's word.
        reason: Why, in our words or Stripe's.
        failure_code: Why it failed.
    """

    stripe_refund_id: str
    refund_id: UUID | None
    amount_cents: int
    refund_status: str
    reason: str
    failure_code: str | None


class IntentSnapshot(Frozen):
    """A payment intent as Stripe shows it."""

    stripe_payment_intent_id: str
    intent_status: str
    amount_cents: int
    decline_code: str | None = None
    next_action_url: str | None = None
