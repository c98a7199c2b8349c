"""Combines previews of invoices at Stripe to what a change or a start of a subscription costs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.subscriptions.previews import (
    ChangePreview,
    CouponSnapshot,
    InvoicePreview,
    PreviewLine,
)
from domain.subscriptions.snapshots import DiscountSnapshot, SubscriptionSnapshot


def is_immediate(preview: InvoicePreview, subscription: SubscriptionSnapshot) -> bool:
    """Tell whether a previewed invoice is made at once, and not at the end of the period."""
    end = subscription.current_period_end
    return end is None or preview.invoiced_at < end


def combine(
    subscription: SubscriptionSnapshot,
    now: InvoicePreview | None,
    later: InvoicePreview | None,
) -> ChangePreview:
    """Combine the preview of the invoice that is made at once with that of the next renewal.

    Args:
        subscription: The subscription before the change.
        now: Preview of a change at once; None if the change waits for the end of the period.
        later: Preview of the renewal with the new terms; None if there is no renewal.

    Returns:
        What the change costs.

    Raises:
        ValueError: Neither preview is given.
    """
    if now is not None and is_immediate(now, subscription):
        if any(line.is_period for line in now.lines):
            return _restarted(subscription, now)
        return _changed(subscription, now, later)
    renewal = later or now
    if renewal is None:
        raise ValueError("there is nothing to preview")
    return _renewed(subscription, renewal, now)


def combine_start(
    preview: InvoicePreview, trial_days: int, coupon: CouponSnapshot | None
) -> ChangePreview:
    """Return what a new subscription costs.

    Args:
        preview: Preview of the first invoice as of now, without a trial.
        trial_days: Length of the trial; the first invoice is made at its end.
        coupon: Coupon that the subscription begins with, already taken off the preview.
    """
    start = preview.invoiced_at
    if trial_days:
        trial_end = start + timedelta(days=trial_days)
        is_over = coupon is not None and not coupon.is_on(start, trial_end)
        back = sum(_cut(line) for line in preview.lines) if is_over else 0
        return ChangePreview(
            next_amount_cents=_due(preview.total_cents + back, preview),
            currency_code=preview.currency_code,
            next_invoice_at=trial_end,
            lines=preview.lines,
        )
    periods = [line for line in preview.lines if line.is_period]
    next_at = max((line.period_end for line in periods), default=start)
    lasts = coupon is not None and coupon.is_on(start, next_at, is_used=True)
    total = sum(line.net_cents if lasts else line.amount_cents for line in periods)
    return ChangePreview(
        amount_due_now_cents=preview.amount_due_cents,
        next_amount_cents=max(0, total + preview.ending_balance_cents),
        currency_code=preview.currency_code,
        next_invoice_at=next_at,
        lines=preview.lines,
    )


def _restarted(subscription: SubscriptionSnapshot, now: InvoicePreview) -> ChangePreview:
    """Return what a change costs that begins a new period, such as one to another interval."""
    next_at = max(line.period_end for line in now.lines if line.is_period)
    ends = subscription.cancel_at is not None and subscription.cancel_at <= next_at
    return ChangePreview(
        amount_due_now_cents=now.amount_due_cents,
        next_amount_cents=None if ends else _after(now, subscription.discounts, next_at),
        currency_code=now.currency_code,
        next_invoice_at=None if ends else next_at,
        proration_date=now.proration_date,
        lines=now.lines,
    )


def _changed(
    subscription: SubscriptionSnapshot, now: InvoicePreview, later: InvoicePreview | None
) -> ChangePreview:
    """Return what a change within a period costs."""
    billed = {line.stripe_invoice_item_id for line in now.lines} - {None}
    return ChangePreview(
        amount_due_now_cents=now.amount_due_cents,
        next_amount_cents=(
            None if later is None else _rest(later, billed, now, subscription.discounts)
        ),
        currency_code=now.currency_code,
        next_invoice_at=None if later is None else subscription.current_period_end,
        proration_date=now.proration_date,
        lines=now.lines,
    )


def _renewed(
    subscription: SubscriptionSnapshot, renewal: InvoicePreview, now: InvoicePreview | None
) -> ChangePreview:
    """Return what a change costs that is not billed before the renewal."""
    amount, at = renewal.amount_due_cents, subscription.current_period_end
    if at is not None and is_immediate(renewal, subscription):
        # Reason: Stripe previews another interval only as of now; a discount may end until then.
        ended = [each.stripe_discount_id for each in subscription.discounts if not each.is_on(at)]
        amount = _due(renewal.total_cents + _discounted(renewal, ended), renewal)
    return ChangePreview(
        next_amount_cents=amount,
        currency_code=renewal.currency_code,
        next_invoice_at=at,
        proration_date=now.proration_date if now else None,
        lines=renewal.lines,
    )


def _rest(
    later: InvoicePreview,
    billed: set[str | None],
    now: InvoicePreview,
    discounts: tuple[DiscountSnapshot, ...],
) -> int:
    """Return what the renewal charges after the first invoice has billed what waited."""
    rest = [line for line in later.lines if line.stripe_invoice_item_id not in billed]
    if len(rest) == len(later.lines) and now.ending_balance_cents == later.starting_balance_cents:
        return later.amount_due_cents
    total = sum(line.amount_cents for line in rest)
    for discount in discounts:
        if any(discount.stripe_discount_id in line.discount_cents for line in later.lines):
            total -= _cut_by(discount, rest, total)
    return max(0, total + now.ending_balance_cents)


def _after(
    preview: InvoicePreview, discounts: tuple[DiscountSnapshot, ...], next_at: datetime
) -> int:
    """Return what the invoice charges that follows a first one of the same terms."""
    periods = [line for line in preview.lines if line.is_period]
    total = sum(line.amount_cents for line in periods)
    for discount in discounts:
        if discount.is_on(next_at, is_used=True):
            total -= _cut_by(discount, periods, total)
    return max(0, total + preview.ending_balance_cents)


def _cut_by(discount: DiscountSnapshot, lines: Sequence[PreviewLine], total: int) -> int:
    """Return what a discount takes off an invoice that has only these lines."""
    if discount.amount_off_cents is not None:
        # Reason: an invoice spreads a fixed amount over all of its lines, also over those that the
        # next one does not have.
        return max(0, min(discount.amount_off_cents, total))
    return sum(line.discount_cents.get(discount.stripe_discount_id, 0) for line in lines)


def _discounted(preview: InvoicePreview, discount_ids: list[str]) -> int:
    return sum(
        cents
        for line in preview.lines
        for name, cents in line.discount_cents.items()
        if name in discount_ids
    )


def _cut(line: PreviewLine) -> int:
    return sum(line.discount_cents.values())


def _due(total: int, preview: InvoicePreview) -> int:
    return max(0, total + preview.starting_balance_cents)
