"""Reads what a subscription costs beside its price: discounts, a schedule, a pending change."""

from typing import Any

import stripe

from adapters.stripe.reading import field, object_id, to_datetime
from domain.subscriptions.snapshots import DiscountSnapshot, ScheduledChangeSnapshot

# What has to be expanded in a subscription to read its terms.
TERMS = ["discounts.promotion_code", "discounts.source.coupon", "schedule.phases.items.price"]
# Key in the metadata of our schedules; its value is the command that made the schedule.
COMMAND = "command_id"
# Statuses of a schedule that still manages its subscription.
RUNNING = frozenset({"not_started", "active"})


def discounts_of(found: stripe.Subscription) -> tuple[DiscountSnapshot, ...]:
    """Return the discounts of a subscription; empty if they are not expanded."""
    listed = field(found, "discounts") or []
    return tuple(_discount(each) for each in listed if field(each, "source.coupon"))


def scheduled_change_of(found: stripe.Subscription) -> ScheduledChangeSnapshot | None:
    """Return what the schedule of a subscription changes next; None if it changes nothing."""
    phase = _next_phase(field(found, "schedule"))
    item, at = field(phase, "items.0"), to_datetime(field(phase, "start_date"))
    if at is None:
        return None
    return ScheduledChangeSnapshot(
        stripe_price_id=object_id(field(item, "price")),
        stripe_product_id=object_id(field(item, "price.product")),
        quantity=field(item, "quantity") or 1,
        at=at,
    )


def pending_invoice_of(found: stripe.Subscription) -> str | None:
    """Return the invoice that a pending change waits for; None if no change is pending."""
    if field(found, "pending_update") is None:
        return None
    return object_id(field(found, "latest_invoice"))


def _discount(found: Any) -> DiscountSnapshot:
    coupon, code = field(found, "source.coupon"), field(found, "promotion_code")
    return DiscountSnapshot(
        stripe_discount_id=object_id(found) or "",
        coupon=object_id(coupon) or "",
        name=field(coupon, "name"),
        promotion_code=field(code, "code") or object_id(code),
        percent_off=field(coupon, "percent_off"),
        amount_off_cents=field(coupon, "amount_off"),
        currency_code=field(coupon, "currency"),
        duration=field(coupon, "duration") or "forever",
        ends_at=to_datetime(field(found, "end")),
    )


def _next_phase(schedule: Any) -> Any:
    """Return the phase after the current one; None if there is none."""
    if field(schedule, "status") not in RUNNING:
        return None  # the schedule has ended with its subscription
    current = field(schedule, "current_phase.start_date") or 0
    later = [
        phase
        for phase in field(schedule, "phases") or []
        if (field(phase, "start_date") or 0) > current
    ]
    return later[0] if later else None
