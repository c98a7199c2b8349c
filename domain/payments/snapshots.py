"""Stripe's objects as the product sees them: the few fields that it goes by, times in UTC."""

from datetime import datetime
from uuid import UUID

from domain.base import Frozen
from domain.subscriptions.lifecycle import SubscriptionStatus

FIRST_INVOICE = "subscription_create"
RENEWAL = "subscription_cycle"
# Finalized, and neither voided nor deleted: by the newest of these Stripe sets the status.
COUNTING = frozenset({"open", "paid", "uncollectible"})


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
    is_charged_automatically: bool = True
    amount_due_cents: int
    amount_paid_cents: int
    currency_code: str
    period_start: datetime
    period_end: datetime
    invoiced_at: datetime
    paid_at: datetime | None = None
    is_attempted: bool
    hosted_invoice_url: str | None = None
    payments: tuple[PaymentSeen, ...] = ()

    @property
    def is_owed(self) -> bool:
        """Whether a payment retry collects it: Stripe has charged for it once, in vain.

        An unpaid first invoice leaves its subscription incomplete and is never retried; what is
        sent to the customer is not ours to charge.
        """
        return (
            self.invoice_status == "open"
            and self.is_attempted
            and self.is_charged_automatically
            and self.billing_reason != FIRST_INVOICE
        )


class KnownInvoices(Frozen):
    """Which invoices of a subscription we know already.

    Args:
        settled: Paid or void: they cannot change any more.
        unsettled: All others: they are read each time.
        given_up: Those of them that are uncollectible.
    """

    settled: frozenset[str] = frozenset()
    unsettled: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()


class SubscriptionSeen(Frozen):
    """A subscription and its invoices as Stripe shows them; times are Stripe's.

    Args:
        invoices: All that may have changed since we looked last, newest first.
        deleted_invoice_ids: Drafts that we knew, and that were deleted.
    """

    stripe_subscription_id: str
    stripe_customer_id: str
    subscription_status: SubscriptionStatus
    quantity: int
    stripe_price_id: str | None = None
    stripe_product_id: str | None = None
    current_period_start: datetime | None = None
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    latest_stripe_invoice_id: str | None = None
    invoices: tuple[InvoiceSeen, ...] = ()
    deleted_invoice_ids: tuple[str, ...] = ()


class UnpaidInvoice(Frozen):
    """What matters of an invoice before it is charged.

    Args:
        stripe_invoice_id: Which.
        invoice_status: Stripe's word: only `open` can be charged.
        amount_cents: What is still owed, in minor units.
        amount_paid_cents: What was paid, in minor units; a credit note pays nothing.
        currency_code: ISO 4217, lower case.
        is_charged_automatically: Whether it may be charged at all; False if it was sent.
        hosted_invoice_url: Where the customer can pay or authenticate.
        subscription_card_id: The subscription's own card, which Stripe takes first.
        customer_card_id: The customer's default card.
        stripe_payment_intent_id: The intent of its charges; None before the first.
        latest_charge_id: The last charge that was tried.
        failed_card_id: The card of the last failure, or of a challenge that waits.
        decline_code: Why the last charge failed; None if it did not.
        advice_code: Stripe's advice about it.
    """

    stripe_invoice_id: str
    invoice_status: str
    amount_cents: int
    amount_paid_cents: int
    currency_code: str
    is_charged_automatically: bool = True
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


class ChargeableSeen(Frozen):
    """What can be charged: a card or any other payment method, attached to a customer.

    Args:
        stripe_payment_method_id: Stripe's id of it.
        stripe_customer_id: Whose it is; None if it is nobody's, and cannot be charged.
        fingerprint: By which the networks know it; Stripe's id where it has none.
    """

    stripe_payment_method_id: str
    stripe_customer_id: str | None
    fingerprint: str


class CustomerSeen(Frozen):
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
    cards: tuple[CardSeen, ...] = ()


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
