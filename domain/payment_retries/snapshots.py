"""Snapshot of an unpaid invoice at Stripe."""

from domain.base import Frozen


class UnpaidInvoice(Frozen):
    """The fields of an invoice that matter for charging it.

    Args:
        stripe_invoice_id: Stripe's id of the invoice.
        invoice_status: Status at Stripe; only an `open` invoice can be charged.
        amount_cents: Amount still owed, in minor units.
        amount_paid_cents: Amount paid, in minor units, without credit notes.
        currency_code: ISO 4217, lower case.
        is_charged_automatically: Whether we may charge it; False if it is sent to the customer.
        hosted_invoice_url: Page on which the customer can pay or authenticate.
        subscription_card_id: Card of the subscription, which Stripe charges first.
        customer_card_id: Default card of the customer.
        stripe_payment_intent_id: Payment intent of the charges; None before the first charge.
        latest_charge_id: Latest charge that was tried.
        latest_card_id: Card of the latest charge; None if Stripe does not name it.
        failed_card_id: Card of the last failure or of a pending authentication.
        decline_code: Why the last charge failed; None if it did not.
        advice_code: Stripe's advice about the last charge.
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
    latest_card_id: str | None = None
    failed_card_id: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None

    @property
    def card_id(self) -> str | None:
        """Card that Stripe would charge."""
        return self.subscription_card_id or self.customer_card_id
