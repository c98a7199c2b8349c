"""An unpaid invoice as Stripe shows it."""

from domain.base import Frozen


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
