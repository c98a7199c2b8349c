"""How each type of Stripe's webhook events is handled."""

from collections.abc import Mapping
from enum import StrEnum

from domain.workflow_names import HINT, PAYMENT_HINT


class Handler(StrEnum):
    """How an event type is handled.

    By a signal to a subscription's or payment's workflow, a read of a customer or a meter, or not
    at all. `ADOPTION` is for a subscription without a row: its owner is looked up at Stripe.
    """

    HINT = HINT
    PAYMENT_HINT = PAYMENT_HINT
    CUSTOMER = "customer"
    ADOPTION = "adoption"
    METER = "meter"
    IGNORED = "ignored"


TRIAL_WILL_END = "customer.subscription.trial_will_end"
METER_ERRORS = "v1.billing.meter.error_report_triggered"
# A hint only says "read this at Stripe", so types differ only in whether a read is worthwhile.
HANDLED_TYPES: Mapping[str, Handler] = {
    "customer.subscription.created": Handler.HINT,
    "customer.subscription.deleted": Handler.HINT,
    "customer.subscription.paused": Handler.HINT,
    "customer.subscription.pending_update_applied": Handler.HINT,
    "customer.subscription.pending_update_expired": Handler.HINT,
    "customer.subscription.resumed": Handler.HINT,
    TRIAL_WILL_END: Handler.HINT,
    "customer.subscription.updated": Handler.HINT,
    "invoice.created": Handler.HINT,
    "invoice.deleted": Handler.HINT,
    "invoice.finalization_failed": Handler.HINT,
    "invoice.finalized": Handler.HINT,
    "invoice.marked_uncollectible": Handler.HINT,
    "invoice.overpaid": Handler.HINT,
    "invoice.paid": Handler.HINT,
    "invoice.payment_action_required": Handler.HINT,
    "invoice.payment_failed": Handler.HINT,
    "invoice.payment_succeeded": Handler.HINT,
    "invoice.updated": Handler.HINT,
    "invoice.voided": Handler.HINT,
    "charge.dispute.closed": Handler.PAYMENT_HINT,
    "charge.dispute.created": Handler.PAYMENT_HINT,
    "charge.dispute.funds_reinstated": Handler.PAYMENT_HINT,
    "charge.dispute.funds_withdrawn": Handler.PAYMENT_HINT,
    "charge.dispute.updated": Handler.PAYMENT_HINT,
    "charge.refund.updated": Handler.PAYMENT_HINT,
    "charge.refunded": Handler.PAYMENT_HINT,
    "payment_intent.canceled": Handler.PAYMENT_HINT,
    "payment_intent.payment_failed": Handler.PAYMENT_HINT,
    "payment_intent.processing": Handler.PAYMENT_HINT,
    "payment_intent.requires_action": Handler.PAYMENT_HINT,
    "payment_intent.succeeded": Handler.PAYMENT_HINT,
    "refund.created": Handler.PAYMENT_HINT,
    "refund.failed": Handler.PAYMENT_HINT,
    "refund.updated": Handler.PAYMENT_HINT,
    "charge.failed": Handler.IGNORED,
    "charge.succeeded": Handler.IGNORED,
    "charge.updated": Handler.IGNORED,
    "customer.deleted": Handler.CUSTOMER,
    "customer.updated": Handler.CUSTOMER,
    "payment_method.attached": Handler.CUSTOMER,
    "payment_method.automatically_updated": Handler.CUSTOMER,
    "payment_method.detached": Handler.CUSTOMER,
    "payment_method.updated": Handler.CUSTOMER,
    "checkout.session.async_payment_failed": Handler.IGNORED,
    "checkout.session.async_payment_succeeded": Handler.HINT,
    "checkout.session.completed": Handler.HINT,
    # Reason: nobody has subscribed, and whoever sells the plan otherwise asks Stripe for the page.
    "checkout.session.expired": Handler.IGNORED,
    "customer.created": Handler.IGNORED,
    "invoice.overdue": Handler.IGNORED,
    "invoice.sent": Handler.IGNORED,
    "invoice.upcoming": Handler.IGNORED,
    "invoice.will_be_due": Handler.IGNORED,
    "invoice_payment.paid": Handler.IGNORED,
    "payment_intent.created": Handler.IGNORED,
    "price.created": Handler.IGNORED,
    "price.updated": Handler.IGNORED,
    "product.created": Handler.IGNORED,
    "product.updated": Handler.IGNORED,
    "setup_intent.created": Handler.IGNORED,
    "setup_intent.succeeded": Handler.IGNORED,
    METER_ERRORS: Handler.METER,
}


def handler_of(event_type: str) -> Handler:
    """Return the handler of an event type.

    Stripe adds types over time. An unknown type is a hint to read the subscription that it names:
    a needless read is cheap, a missed change is not.
    """
    return HANDLED_TYPES.get(event_type, Handler.HINT)


def type_label(event_type: str) -> str:
    """Return an event type as label of a metric: the type if known, else `other`."""
    return event_type if event_type in HANDLED_TYPES else "other"
