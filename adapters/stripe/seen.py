"""Stripe's objects, read into what the product sees of them."""

from collections.abc import Iterable

import stripe

from adapters.stripe.client import moment, object_id, optional_moment
from domain.seen import InvoiceSeen, PaymentSeen, SubscriptionSeen
from domain.subscriptions import SubscriptionStatus


def subscription_seen(
    found: stripe.Subscription,
    invoices: Iterable[InvoiceSeen],
) -> SubscriptionSeen:
    """Return what the product sees of a subscription."""
    item = found["items"].data[0]  # Reason: `.items` is a method of the mapping protocol
    return SubscriptionSeen(
        stripe_subscription_id=found.id,
        stripe_customer_id=object_id(found.customer) or "",
        subscription_status=SubscriptionStatus(found.status),
        quantity=item.quantity or 1,
        current_period_start=moment(item.current_period_start),
        current_period_end=moment(item.current_period_end),
        trial_end=optional_moment(found.trial_end),
        cancel_at=optional_moment(found.cancel_at),
        canceled_at=optional_moment(found.canceled_at),
        default_payment_method_id=object_id(found.default_payment_method),
        latest_stripe_invoice_id=object_id(found.latest_invoice),
        invoices=tuple(invoices),
    )


def invoice_seen(found: stripe.Invoice) -> InvoiceSeen:
    """Return what the product sees of an invoice; its payments must be expanded."""
    line = found.lines.data[0] if found.lines.data else None
    return InvoiceSeen(
        stripe_invoice_id=found.id or "",
        invoice_status=found.status or "draft",
        billing_reason=found.billing_reason,
        amount_due_cents=found.amount_due,
        amount_paid_cents=found.amount_paid,
        currency_code=found.currency,
        # Reason: the invoice's own period lies one cycle back; the line says what is paid for.
        period_start=moment(line.period.start if line else found.period_start),
        period_end=moment(line.period.end if line else found.period_end),
        invoiced_at=moment(found.created),
        is_attempted=found.attempted,
        hosted_invoice_url=found.hosted_invoice_url,
        payments=tuple(
            PaymentSeen(
                stripe_payment_intent_id=intent_id,
                amount_cents=entry.amount_paid or entry.amount_requested,
                is_succeeded=entry.status == "paid",
            )
            for entry in (found.payments.data if found.payments else [])
            if (intent_id := object_id(entry.payment.payment_intent))
        ),
    )
