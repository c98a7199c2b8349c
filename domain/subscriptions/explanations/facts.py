"""Facts of a subscription from which its status is explained."""

from datetime import datetime
from uuid import UUID

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import PausedReason, RetryStatus
from domain.subscriptions.lifecycle import Access, SubscriptionStatus


class OpenInvoice(Frozen):
    """A finalized invoice that is neither paid nor closed in another way."""

    stripe_invoice_id: str
    hosted_invoice_url: str | None = None


class OpenRetry(Frozen):
    """The facts of the payment retry of an unpaid invoice."""

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt_count: int = 0
    next_attempt_at: datetime | None = None
    decline_code: str | None = None
    paused_reason: PausedReason | None = None
    parked: tuple[ParkedStep, ...] = ()


class WaitingChange(Frozen):
    """The facts of the change that waits, of ours or of a schedule that was made at Stripe.

    Args:
        plan_name: Name of the plan afterwards; None if the price belongs to no plan.
    """

    plan_id: UUID | None = None
    plan_name: str | None = None
    stripe_price_id: str | None = None
    quantity: int
    at: datetime


class PaymentIssue(Frozen):
    """A payment that the bank took back, or a refund that did not reach the customer.

    Args:
        amount_cents: Amount, in minor units.
        why: Why a refund failed, as Stripe's code; None if Stripe does not say.
    """

    amount_cents: int
    currency_code: str
    why: str | None = None


class PastEvent(Frozen):
    """An event of the subscription; `seq` is its number."""

    seq: int
    kind: str
    at: datetime
    what: str


class SubscriptionFacts(Frozen):
    """The facts of a subscription; other fields are columns of the same names.

    Args:
        scheduled_change: The change that waits; None if none does.
        newest_invoice_status: Status of the newest finalized invoice; None if there is none.
        open_invoices: Unpaid invoices, oldest first.
        payment_retries: Payment retries of the subscription, oldest first.
        disputed_payments: Payments that the bank has taken back.
        failed_refunds: Refunds that Stripe made and that came back later.
        events: Events since the status before this one, oldest first.
    """

    subscription_status: SubscriptionStatus
    access: Access
    stripe_subscription_id: str | None = None
    plan_id: UUID | None = None
    stripe_price_id: str | None = None
    quantity: int = 1
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    grace_ends_at: datetime | None = None
    resume_at: datetime | None = None
    next_action_url: str | None = None
    is_written_off: bool = False
    parked: tuple[ParkedStep, ...] = ()
    scheduled_change: WaitingChange | None = None
    newest_invoice_status: str | None = None
    open_invoices: tuple[OpenInvoice, ...] = ()
    payment_retries: tuple[OpenRetry, ...] = ()
    disputed_payments: tuple[PaymentIssue, ...] = ()
    failed_refunds: tuple[PaymentIssue, ...] = ()
    events: tuple[PastEvent, ...] = ()
