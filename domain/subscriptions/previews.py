"""Computes what a change costs, now and on the next invoice, from Stripe's own previews."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.subscriptions.snapshots import DiscountSnapshot, SubscriptionSnapshot


class PreviewLine(Frozen):
    """One line of an invoice preview.

    Args:
        amount_cents: Amount before the discounts of the invoice; negative for a credit.
        discount_cents: Discounts of this line, by the id of the discount.
        is_period: Whether the line bills a whole period ahead, and not a part of one.
        stripe_invoice_item_id: The invoice item that the line bills, if there is one.
    """

    description: str | None = None
    amount_cents: int
    discount_cents: dict[str, int] = {}
    quantity: int | None = None
    period_start: datetime
    period_end: datetime
    is_proration: bool = False
    is_period: bool = False
    stripe_invoice_item_id: str | None = None

    @property
    def net_cents(self) -> int:
        """The amount, less all discounts."""
        return self.amount_cents - sum(self.discount_cents.values())


class InvoicePreview(Frozen):
    """One of Stripe's invoice previews; times are on Stripe's clock.

    Args:
        invoiced_at: When the invoice would be made: now, or at the end of the period.
        starting_balance_cents: Balance of the customer before the invoice; a credit is negative.
        proration_date: The time from which the change is billed; None without prorations.
    """

    currency_code: str
    total_cents: int
    amount_due_cents: int
    starting_balance_cents: int = 0
    invoiced_at: datetime
    proration_date: int | None = None
    lines: tuple[PreviewLine, ...] = ()

    @property
    def ending_balance_cents(self) -> int:
        """The customer's balance after the invoice was paid."""
        return self.starting_balance_cents + self.total_cents - self.amount_due_cents


class CouponSnapshot(Frozen):
    """Snapshot of a coupon that becomes a discount, with the promotion code that leads to it."""

    coupon: str
    stripe_promotion_code_id: str | None = None
    duration: str = "forever"
    duration_in_months: int | None = None

    def is_on(self, start: datetime, at: datetime, *, is_used: bool = False) -> bool:
        """Tell whether a discount by this coupon reduces an invoice at a time.

        Args:
            start: When the discount begins.
            at: Time of the invoice.
            is_used: Whether an earlier invoice was reduced.
        """
        if self.duration == "once":
            return not is_used
        months = self.duration_in_months
        return self.duration != "repeating" or months is None or at < _months_after(start, months)


class ChangeTerms(Frozen):
    """What a subscription shall be: None keeps the present price or quantity.

    Args:
        is_at_period_end: Whether the change is made at the end of the period, not at once.
        proration_date: Time from which a change at once is billed, in seconds on Stripe's clock.
    """

    plan_id: UUID | None = None
    stripe_price_id: str | None = None
    quantity: int | None = Field(default=None, gt=0)
    is_at_period_end: bool = False
    proration_date: int | None = None


class NewTerms(Frozen):
    """What a new subscription shall be.

    Args:
        coupon: Stripe's id of a coupon.
        promotion_code: The code that a customer enters.
    """

    plan_id: UUID
    stripe_price_id: str
    quantity: int = Field(default=1, gt=0)
    trial_days: int = Field(default=0, ge=0)
    coupon: str | None = None
    promotion_code: str | None = None


class ChangePreview(Frozen):
    """What a change, or a new subscription, costs; times are on Stripe's clock.

    Args:
        amount_due_now_cents: What is charged at once.
        next_amount_cents: What the next invoice charges; None if there is no next invoice.
        next_invoice_at: When the next invoice is made; None if there is none.
        lines: Lines of the invoice that is made at once, else of the next one.
    """

    amount_due_now_cents: int = 0
    next_amount_cents: int | None = None
    currency_code: str
    next_invoice_at: datetime | None = None
    proration_date: int | None = None
    lines: tuple[PreviewLine, ...] = ()


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


def _months_after(start: datetime, months: int) -> datetime:
    """Return the time some months later; a day that a month lacks is its last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def _due(total: int, preview: InvoicePreview) -> int:
    return max(0, total + preview.starting_balance_cents)
