"""Terms of a change or a start of a subscription, and previews of what they cost."""

from calendar import monthrange
from datetime import datetime
from uuid import UUID

from pydantic import Field

from domain.base import Frozen


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


class ChangeRequest(Frozen):
    """The change of plan or quantity that somebody requests; None keeps what is.

    Args:
        is_at_period_end: Whether the change is made at the end of the period, not at once.
        proration_date: Time of a preview, from which a change at once is billed.
    """

    plan_id: UUID | None = None
    quantity: int | None = None
    is_at_period_end: bool = False
    proration_date: datetime | None = None


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


def _months_after(start: datetime, months: int) -> datetime:
    """Return the time some months later; a day that a month lacks is its last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
