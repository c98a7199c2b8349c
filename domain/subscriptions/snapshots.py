"""Snapshots of subscriptions and their invoices at Stripe."""

from datetime import datetime
from uuid import UUID

from domain.base import Frozen
from domain.payments.snapshots import PaymentSnapshot
from domain.subscriptions.lifecycle import SubscriptionStatus

FIRST_INVOICE = "subscription_create"
CHANGE_INVOICE = "subscription_update"
RENEWAL = "subscription_cycle"
# Finalized, and neither voided nor deleted; Stripe sets the status by the newest of these.
COUNTING = frozenset({"open", "paid", "uncollectible"})
_GIVEN_UP = frozenset({"uncollectible", "void"})
_OF_PERIOD = frozenset({FIRST_INVOICE, RENEWAL})


class InvoiceSnapshot(Frozen):
    """Snapshot of an invoice; times are on Stripe's clock."""

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
        """Whether a payment retry collects the invoice after a failed charge by Stripe.

        An unpaid first invoice leaves its subscription incomplete and is never retried. Invoices
        that are sent to the customer are not charged by us.
        """
        return (
            self.invoice_status == "open"
            and self.is_attempted
            and self.is_charged_automatically
            and self.billing_reason != FIRST_INVOICE
        )


class InvoiceItemSnapshot(Frozen):
    """Snapshot of an invoice item, which waits for an invoice or was on one; below 0 a credit.

    Args:
        stripe_subscription_id: Subscription that it belongs to; None if it goes on the next invoice
            of any of the customer's.
    """

    stripe_invoice_item_id: str
    stripe_customer_id: str
    stripe_subscription_id: str | None = None
    created_at: datetime
    amount_cents: int
    currency_code: str
    description: str | None = None
    is_discountable: bool = False
    is_proration: bool = False
    period_start: datetime
    period_end: datetime
    metadata: dict[str, str] = {}


class PaidInvoice(Frozen):
    """What a paid invoice has billed, in minor units.

    Args:
        stripe_invoice_id: Stripe's id of the invoice.
        period_start: Begin of the period that it bills.
        paid_cents: What was paid by card.
        total_cents: What was due, before the customer's balance.
        credited_cents: What its credits for unused time took off.
        returned_cents: What refunds and credit notes have given back since.
    """

    stripe_invoice_id: str
    period_start: datetime
    paid_cents: int
    total_cents: int
    credited_cents: int
    returned_cents: int = 0

    @property
    def charged_cents(self) -> int:
        """Prices on the invoice, however they were paid."""
        return self.total_cents + self.credited_cents

    def less(self, cents: int) -> "PaidInvoice":
        """Return the invoice without what was given back of it, in minor units."""
        paid, total = max(0, self.paid_cents - cents), max(0, self.total_cents - cents)
        return self.model_copy(update={"paid_cents": paid, "total_cents": total})


class UnusedTime(Frozen):
    """What unused time is worth in minor units, and since when it is unused."""

    amount_cents: int
    since: datetime | None = None


class StoredInvoices(Frozen):
    """The stored invoices of a subscription.

    Args:
        settled: Paid or void invoices, which cannot change any more.
        unsettled: All other invoices, which are read on every sync.
        given_up: Uncollectible invoices, which are also in `unsettled`.
    """

    settled: frozenset[str] = frozenset()
    unsettled: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()


class DiscountSnapshot(Frozen):
    """Snapshot of a discount of a subscription.

    Args:
        stripe_discount_id: Id of the discount, which a coupon or promotion code became.
        coupon: Stripe's id of the coupon.
        promotion_code: The code that a customer enters, if the discount came from one.
        duration: `once`, `repeating` or `forever`.
        ends_at: When a repeating discount ends.
    """

    stripe_discount_id: str
    coupon: str
    name: str | None = None
    promotion_code: str | None = None
    percent_off: float | None = None
    amount_off_cents: int | None = None
    currency_code: str | None = None
    duration: str = "forever"
    ends_at: datetime | None = None

    def is_on(self, at: datetime, *, is_used: bool = False) -> bool:
        """Tell whether the discount reduces an invoice at a time.

        Args:
            at: Time of the invoice.
            is_used: Whether an earlier invoice was reduced, which ends a discount for `once`.
        """
        is_over = self.ends_at is not None and self.ends_at <= at
        return not is_over and not (is_used and self.duration == "once")


class ScheduledChangeSnapshot(Frozen):
    """Snapshot of the next phase of a schedule, which changes the subscription."""

    stripe_price_id: str | None = None
    stripe_product_id: str | None = None
    quantity: int = 1
    at: datetime


class SubscriptionSnapshot(Frozen):
    """Snapshot of a subscription and its invoices; times are on Stripe's clock.

    Args:
        is_cancel_at_period_end: Whether Stripe's flag of the same name is set; `cancel_at` may be
            set without it.
        discounts: Discounts of the subscription, in the order in which they are applied.
        pending_invoice_id: Invoice that has to be paid before a pending change takes effect.
        scheduled_change: What the schedule changes next.
        stripe_schedule_id: Schedule that manages the subscription.
        schedule_owner_id: Our subscription in the schedule's metadata; None if it is not ours.
        stripe_meter_ids: Meters whose usage the subscription bills.
        invoices: Invoices that may have changed since the last sync, newest first.
        deleted_invoice_ids: Stored drafts that were deleted at Stripe.
    """

    stripe_subscription_id: str
    stripe_customer_id: str
    subscription_status: SubscriptionStatus
    quantity: int
    stripe_item_id: str | None = None
    stripe_price_id: str | None = None
    stripe_product_id: str | None = None
    stripe_meter_ids: tuple[str, ...] = ()
    discounts: tuple[DiscountSnapshot, ...] = ()
    pending_invoice_id: str | None = None
    scheduled_change: ScheduledChangeSnapshot | None = None
    current_period_start: datetime | None = None
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    is_cancel_at_period_end: bool = False
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    paused_at: datetime | None = None
    latest_stripe_invoice_id: str | None = None
    stripe_schedule_id: str | None = None
    schedule_owner_id: UUID | None = None
    invoices: tuple[InvoiceSnapshot, ...] = ()
    deleted_invoice_ids: tuple[str, ...] = ()

    @property
    def is_ending_with_period(self) -> bool:
        """Whether the subscription ends with its current period."""
        return self.cancel_at is not None and self.cancel_at == self.current_period_end

    @property
    def is_period_given_up(self) -> bool:
        """Whether the invoice of the current period is void or uncollectible."""
        start = self.current_period_start
        return start is not None and any(
            each.invoice_status in _GIVEN_UP
            # Reason: a resume begins a period by a change; other changes are made within one.
            and (each.period_start == start or each.billing_reason in _OF_PERIOD)
            and each.period_start >= start
            for each in self.invoices
        )

    @property
    def resumption(self) -> InvoiceSnapshot | None:
        """The open invoice that has to be paid before a paused subscription goes on."""
        return self._latest_change("open")

    @property
    def void_resumption(self) -> InvoiceSnapshot | None:
        """The invoice of the last try to resume a paused subscription, if it is void."""
        found = self._latest_change("void")
        # Reason: a change that was declined before the pause looks the same.
        is_later = found and self.paused_at and found.invoiced_at > self.paused_at
        return found if is_later else None

    def _latest_change(self, invoice_status: str) -> InvoiceSnapshot | None:
        if self.subscription_status is not SubscriptionStatus.PAUSED:
            return None
        return next(
            (
                invoice
                for invoice in self.invoices
                if invoice.stripe_invoice_id == self.latest_stripe_invoice_id
                and invoice.invoice_status == invoice_status
                and invoice.billing_reason == CHANGE_INVOICE
            ),
            None,
        )
