"""Subscriptions and their invoices as Stripe shows them."""

from datetime import datetime

from domain.base import Frozen
from domain.payments.snapshots import PaymentSnapshot
from domain.subscriptions.lifecycle import SubscriptionStatus

FIRST_INVOICE = "subscription_create"
RENEWAL = "subscription_cycle"
# Finalized, and neither voided nor deleted: by the newest of these Stripe sets the status.
COUNTING = frozenset({"open", "paid", "uncollectible"})


class InvoiceSnapshot(Frozen):
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
    payments: tuple[PaymentSnapshot, ...] = ()

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


class SubscriptionSnapshot(Frozen):
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
    invoices: tuple[InvoiceSnapshot, ...] = ()
    deleted_invoice_ids: tuple[str, ...] = ()
