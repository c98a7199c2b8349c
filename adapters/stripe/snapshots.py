"""Converts Stripe's objects into snapshots."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import stripe

from adapters.stripe.reading import (
    entries,
    field,
    metadata_id,
    object_id,
    required,
    required_time,
    to_datetime,
    unreadable,
)
from adapters.stripe.terms import discounts_of, pending_invoice_of, scheduled_change_of
from domain.payments.snapshots import PaymentSnapshot
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.snapshots import InvoiceSnapshot, SubscriptionSnapshot


def subscription_snapshot(
    found: stripe.Subscription,
    invoices: Iterable[InvoiceSnapshot] = (),
    deleted_invoice_ids: Iterable[str] = (),
) -> SubscriptionSnapshot:
    """Return the snapshot of a subscription, whose terms must be expanded.

    Of several items, the first that is not billed by usage is read. An item that is billed by
    usage has no quantity and counts as 1.

    Raises:
        UnreadableAnswerError: The subscription has no id, or no known status.
    """
    items = entries(found, "items")
    licensed = [item for item in items if not _is_metered(item)]
    item = next(iter(licensed or items), None)
    return SubscriptionSnapshot(
        stripe_subscription_id=required(found, "id"),
        stripe_customer_id=object_id(field(found, "customer")) or "",
        subscription_status=_status(found),
        quantity=field(item, "quantity") or 1,
        stripe_item_id=object_id(item),
        stripe_price_id=object_id(field(item, "price")),
        stripe_product_id=object_id(field(item, "price.product")),
        stripe_meter_ids=tuple(
            str(meter_id) for entry in items if (meter_id := field(entry, "price.recurring.meter"))
        ),
        discounts=discounts_of(found),
        pending_invoice_id=pending_invoice_of(found),
        scheduled_change=scheduled_change_of(found),
        current_period_start=to_datetime(field(item, "current_period_start")),
        current_period_end=to_datetime(field(item, "current_period_end")),
        trial_end=to_datetime(field(found, "trial_end")),
        cancel_at=to_datetime(field(found, "cancel_at")),
        is_cancel_at_period_end=bool(field(found, "cancel_at_period_end")),
        canceled_at=to_datetime(field(found, "canceled_at")),
        ended_at=to_datetime(field(found, "ended_at")),
        paused_at=to_datetime(field(found, "status_details.paused.transitioned_at")),
        latest_stripe_invoice_id=object_id(field(found, "latest_invoice")),
        stripe_schedule_id=object_id(field(found, "schedule")),
        schedule_owner_id=metadata_id(field(found, "schedule"), "subscription_id"),
        invoices=tuple(sorted(invoices, key=lambda each: each.invoiced_at, reverse=True)),
        deleted_invoice_ids=tuple(deleted_invoice_ids),
    )


def _is_metered(item: object) -> bool:
    return bool(field(item, "price.recurring.usage_type") == "metered")


def invoice_snapshot(found: stripe.Invoice, more_lines: Iterable[object] = ()) -> InvoiceSnapshot:
    """Return the snapshot of an invoice, whose payments must be expanded.

    Args:
        found: Invoice of the SDK.
        more_lines: Lines beyond those that the invoice embeds.

    Raises:
        UnreadableAnswerError: The invoice has no id or no valid times.
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
        payments=tuple(payments_of(found)),
    )


def shows_period(found: stripe.Invoice) -> bool:
    """Tell whether the embedded lines of an invoice show the period that it bills.

    An invoice embeds ten lines at most; one-off items and prorations come first.
    """
    is_whole = not field(found, "lines.has_more")
    return is_whole or any(map(is_period_line, entries(found, "lines")))


def is_period_line(line: object) -> bool:
    """Tell whether an invoice line bills a subscription item for a whole period."""
    details = field(line, "parent.subscription_item_details")
    return details is not None and not field(details, "proration")


def period_of(found: stripe.Invoice, lines: Iterable[object]) -> tuple[datetime, datetime]:
    """Return the period that an invoice bills: the period of its subscription items.

    Args:
        found: Invoice of the SDK.
        lines: Lines of the invoice, as far as they are needed.
    """
    known = list(lines)
    # Reason: usage is billed for the period before, so the line of that item ends earlier.
    by_end = sorted(filter(is_period_line, known), key=_end_of, reverse=True)
    line = next(iter(by_end or known), None)
    # Reason: the invoice's own period is one cycle earlier; the line has the period to pay for.
    owner, prefix = (found, "period_") if line is None else (line, "period.")
    return required_time(owner, f"{prefix}start"), required_time(owner, f"{prefix}end")


def _end_of(line: object) -> float:
    end = field(line, "period.end")
    return end if isinstance(end, int | float) else 0


def payments_of(found: stripe.Invoice) -> Iterator[PaymentSnapshot]:
    """Return the payments of an invoice by card, whose `payments` are expanded."""
    for entry in entries(found, "payments"):
        # Reason: an out-of-band payment is a payment record without a payment intent.
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
