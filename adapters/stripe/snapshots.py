"""Stripe's objects, read into what the product sees of them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import stripe

from adapters.stripe.reading import (
    entries,
    field,
    object_id,
    required,
    required_time,
    to_datetime,
    unreadable,
)
from domain.payments.snapshots import PaymentSnapshot
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.snapshots import InvoiceSnapshot, SubscriptionSnapshot


def subscription_snapshot(
    found: stripe.Subscription,
    invoices: Iterable[InvoiceSnapshot] = (),
    deleted_invoice_ids: Iterable[str] = (),
) -> SubscriptionSnapshot:
    """Return what the product sees of a subscription.

    One with several items is shown by its first; one that is billed by use has no quantity.

    Raises:
        UnreadableAnswerError: It has no id or no status, or a status that we do not know.
    """
    items = entries(found, "items")
    item = items[0] if items else None
    return SubscriptionSnapshot(
        stripe_subscription_id=required(found, "id"),
        stripe_customer_id=object_id(field(found, "customer")) or "",
        subscription_status=_status(found),
        quantity=field(item, "quantity") or 1,
        stripe_price_id=object_id(field(item, "price")),
        stripe_product_id=object_id(field(item, "price.product")),
        current_period_start=to_datetime(field(item, "current_period_start")),
        current_period_end=to_datetime(field(item, "current_period_end")),
        trial_end=to_datetime(field(found, "trial_end")),
        cancel_at=to_datetime(field(found, "cancel_at")),
        canceled_at=to_datetime(field(found, "canceled_at")),
        ended_at=to_datetime(field(found, "ended_at")),
        latest_stripe_invoice_id=object_id(field(found, "latest_invoice")),
        invoices=tuple(sorted(invoices, key=lambda each: each.invoiced_at, reverse=True)),
        deleted_invoice_ids=tuple(deleted_invoice_ids),
    )


def invoice_snapshot(found: stripe.Invoice, more_lines: Iterable[object] = ()) -> InvoiceSnapshot:
    """Return what the product sees of an invoice; its payments must be expanded.

    Args:
        found: The invoice.
        more_lines: Lines beyond those that it embeds.

    Raises:
        UnreadableAnswerError: It has no id.
    """
    start, end = period_of(found, [*entries(found, "lines"), *more_lines])
    return InvoiceSnapshot(
        stripe_invoice_id=required(found, "id"),
        invoice_status=field(found, "status") or "draft",
        billing_reason=field(found, "billing_reason"),
        is_charged_automatically=field(found, "collection_method") != "send_invoice",
        amount_due_cents=field(found, "amount_due") or 0,
        amount_paid_cents=field(found, "amount_paid") or 0,
        currency_code=field(found, "currency") or "",
        period_start=start,
        period_end=end,
        invoiced_at=required_time(found, "created"),
        paid_at=to_datetime(field(found, "status_transitions.paid_at")),
        is_attempted=bool(field(found, "attempted")),
        hosted_invoice_url=field(found, "hosted_invoice_url"),
        payments=tuple(_payments(found)),
    )


def shows_period(found: stripe.Invoice) -> bool:
    """Tell whether the lines that an invoice embeds suffice to tell which period it is for.

    It embeds ten lines at most; one-off items and prorations come first.
    """
    is_whole = not field(found, "lines.has_more")
    return is_whole or any(map(is_period_line, entries(found, "lines")))


def is_period_line(line: object) -> bool:
    """Tell whether a line bills a subscription's item for a whole period."""
    details = field(line, "parent.subscription_item_details")
    return details is not None and not field(details, "proration")


def period_of(found: stripe.Invoice, lines: Iterable[object]) -> tuple[datetime, datetime]:
    """Return the period that an invoice is for: that of its subscription's items.

    Args:
        found: The invoice.
        lines: Its lines, as far as they are needed.
    """
    known = list(lines)
    line = next(filter(is_period_line, known), known[0] if known else None)
    # Reason: the invoice's own period lies one cycle back; the line says what is paid for.
    owner, prefix = (found, "period_") if line is None else (line, "period.")
    return required_time(owner, f"{prefix}start"), required_time(owner, f"{prefix}end")


def _payments(found: stripe.Invoice) -> Iterator[PaymentSnapshot]:
    for entry in entries(found, "payments"):
        # Reason: what was paid out of band is a payment record, and has no intent.
        intent_id = object_id(field(entry, "payment.payment_intent"))
        if intent_id is not None:
            yield PaymentSnapshot(
                stripe_payment_intent_id=intent_id,
                amount_cents=field(entry, "amount_paid") or field(entry, "amount_requested") or 0,
                is_succeeded=field(entry, "status") == "paid",
            )


def _status(found: stripe.Subscription) -> SubscriptionStatus:
    try:
        return SubscriptionStatus(required(found, "status"))
    except ValueError as error:
        raise unreadable(found, "status") from error
