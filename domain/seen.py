"""Stripe's objects as the product sees them: the few fields that it goes by, times in UTC."""

from datetime import datetime
from uuid import UUID

from domain.messages import Frozen
from domain.subscriptions import SubscriptionStatus


class PaymentSeen(Frozen):
    """One payment intent of an invoice, as Stripe shows it."""

    stripe_payment_intent_id: str
    amount_cents: int
    is_succeeded: bool


class InvoiceSeen(Frozen):
    """An invoice as Stripe shows it; times are Stripe's."""

    stripe_invoice_id: str
    invoice_status: str
    billing_reason: str | None
    amount_due_cents: int
    amount_paid_cents: int
    currency_code: str
    period_start: datetime
    period_end: datetime
    invoiced_at: datetime
    is_attempted: bool
    hosted_invoice_url: str | None = None
    payments: tuple[PaymentSeen, ...] = ()


class SubscriptionSeen(Frozen):
    """A subscription and its recent invoices as Stripe shows them; times are Stripe's."""

    stripe_subscription_id: str
    stripe_customer_id: str
    subscription_status: SubscriptionStatus
    quantity: int
    current_period_start: datetime
    current_period_end: datetime
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    default_payment_method_id: str | None = None
    latest_stripe_invoice_id: str | None = None
    invoices: tuple[InvoiceSeen, ...] = ()


class UnpaidInvoice(Frozen):
    """What matters of an invoice before it is charged.

    Args:
        stripe_invoice_id: Which.
        invoice_status: Stripe's word: only `open` can be charged.
        amount_cents: What is still owed, in minor units.
        currency_code: ISO 4217, lower case.
        hosted_invoice_url: Where the customer can pay or authenticate.
        subscription_card_id: The subscription's own card, which Stripe takes first.
        customer_card_id: The customer's default card.
        stripe_payment_intent_id: The intent of its charges; None before the first.
        latest_charge_id: The last charge that was tried.
        failed_card_id: The card of the last failure.
        decline_code: Why the last charge failed; None if it did not.
        advice_code: Stripe's advice about it.
    """

    stripe_invoice_id: str
    invoice_status: str
    amount_cents: int
    currency_code: str
    hosted_invoice_url: str | None = None
    subscription_card_id: str | None = None
    customer_card_id: str | None = None
    stripe_payment_intent_id: str | None = None
    latest_charge_id: str | None = None
    failed_card_id: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None

    @property
    def card_id(self) -> str | None:
        """The card that Stripe would charge."""
        return self.subscription_card_id or self.customer_card_id


class CardSeen(Frozen):
    """A card as Stripe shows it; never its number."""

    stripe_payment_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


class RefundSeen(Frozen):
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


class IntentSeen(Frozen):
    """A payment intent as Stripe shows it."""

    stripe_payment_intent_id: str
    intent_status: str
    amount_cents: int
    decline_code: str | None = None
    next_action_url: str | None = None
