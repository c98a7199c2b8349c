"""What a change costs, computed from Stripe's own previews."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.preview_amounts import (
    combine,
    combine_start,
    is_immediate,
)
from domain.subscriptions.previews import CouponSnapshot, InvoicePreview, PreviewLine
from domain.subscriptions.snapshots import DiscountSnapshot, SubscriptionSnapshot

START = datetime(2026, 1, 31, 9, tzinfo=UTC)
NOW, END = START + timedelta(days=14), START + timedelta(days=28)
YEAR_END = NOW + timedelta(days=365)


def subscription(**changes: Any) -> SubscriptionSnapshot:
    return SubscriptionSnapshot(
        **{
            "stripe_subscription_id": "sub_1",
            "stripe_customer_id": "cus_1",
            "subscription_status": SubscriptionStatus.ACTIVE,
            "quantity": 1,
            "current_period_start": START,
            "current_period_end": END,
            **changes,
        }
    )


def line(amount: int, item: str | None = None, **changes: Any) -> PreviewLine:
    return PreviewLine(
        **{
            "amount_cents": amount,
            "period_start": NOW,
            "period_end": END,
            "is_proration": item is not None,
            "is_period": item is None,
            "stripe_invoice_item_id": item,
            **changes,
        }
    )


def preview(at: datetime, *lines: PreviewLine, balance: int = 0) -> InvoicePreview:
    total = sum(each.net_cents for each in lines)
    return InvoicePreview(
        currency_code="usd",
        total_cents=total,
        amount_due_cents=max(0, total + balance),
        starting_balance_cents=balance,
        invoiced_at=at,
        proration_date=int(NOW.timestamp()) if at == NOW else None,
        lines=lines,
    )


def test_a_change_within_a_period_is_due_now_and_the_whole_price_at_the_renewal() -> None:
    now = preview(NOW, line(-500, "ii_1"), line(2_000, "ii_2"))
    later = preview(END, line(4_000))
    seen = combine(subscription(), now, later)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (1_500, 4_000)
    assert (seen.next_invoice_at, seen.proration_date) == (END, int(NOW.timestamp()))
    assert seen.lines == now.lines


def test_what_is_billed_now_is_not_billed_again_at_the_renewal() -> None:
    waiting = line(-300, "ii_0")
    now = preview(NOW, waiting, line(1_000, "ii_1"))
    later = preview(END, waiting, line(4_000))
    assert combine(subscription(), now, later).next_amount_cents == 4_000


def test_a_credit_of_a_cheaper_plan_is_taken_off_the_renewal() -> None:
    now = preview(NOW, line(-2_500, "ii_1"), line(500, "ii_2"))
    seen = combine(subscription(), now, preview(END, line(1_000)))
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (0, 0)
    seen = combine(subscription(), now, preview(END, line(5_000)))
    assert seen.next_amount_cents == 3_000


def test_a_balance_that_the_change_uses_up_is_not_used_again() -> None:
    now = preview(NOW, line(1_000, "ii_1"), balance=-700)
    later = preview(END, line(4_000), balance=-700)
    seen = combine(subscription(), now, later)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (300, 4_000)


@pytest.mark.parametrize(
    ("discount", "next_amount"),
    [
        ({}, 9_000),
        ({"duration": "once"}, 10_000),
        ({"duration": "repeating", "ends_at": YEAR_END}, 10_000),
        ({"duration": "repeating", "ends_at": YEAR_END + timedelta(seconds=1)}, 9_000),
    ],
)
def test_another_interval_begins_a_period_now(discount: Any, next_amount: int) -> None:
    held = DiscountSnapshot(stripe_discount_id="di_1", coupon="c", **discount)
    whole = line(10_000, discount_cents={"di_1": 1_000}, period_end=YEAR_END)
    now = preview(NOW, line(-400, "ii_1"), whole)
    seen = combine(subscription(discounts=(held,)), now, None)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (8_600, next_amount)
    assert seen.next_invoice_at == YEAR_END


def test_a_change_at_the_end_of_the_period_is_due_then() -> None:
    later = preview(END, line(-100, "ii_0"), line(4_000))
    seen = combine(subscription(), None, later)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (0, 3_900)
    assert (seen.next_invoice_at, seen.proration_date, seen.lines) == (END, None, later.lines)


def test_another_interval_at_the_end_of_the_period_has_lost_what_ends_until_then() -> None:
    held = DiscountSnapshot(
        stripe_discount_id="di_1", coupon="c", duration="repeating", ends_at=END
    )
    as_of_now = preview(NOW, line(10_000, discount_cents={"di_1": 1_000}), balance=-50)
    seen = combine(subscription(discounts=(held,)), None, as_of_now)
    assert (seen.next_amount_cents, seen.next_invoice_at) == (9_950, END)


def test_in_a_trial_nothing_is_due_now() -> None:
    at_end = preview(END, line(4_000))
    seen = combine(subscription(), at_end, None)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (0, 4_000)
    assert not is_immediate(at_end, subscription())


def test_a_subscription_that_ends_has_no_next_invoice() -> None:
    now = preview(NOW, line(1_000, "ii_1"))
    seen = combine(subscription(cancel_at=END), now, None)
    assert (seen.next_amount_cents, seen.next_invoice_at) == (None, None)
    whole = preview(NOW, line(10_000, period_end=YEAR_END))
    seen = combine(subscription(cancel_at=END), whole, None)
    assert (seen.next_amount_cents, seen.next_invoice_at) == (None, None)


def test_without_any_preview_there_is_nothing_to_tell() -> None:
    with pytest.raises(ValueError, match="nothing to preview"):
        combine(subscription(), None, None)


@pytest.mark.parametrize(
    ("coupon", "next_amount"),
    [
        (None, 1_000),
        ({"duration": "forever"}, 600),
        ({"duration": "once"}, 1_000),
        ({"duration": "repeating", "duration_in_months": 1}, 1_000),
        ({"duration": "repeating", "duration_in_months": 2}, 600),
    ],
)
def test_a_start_costs_its_first_invoice_and_then_the_next(coupon: Any, next_amount: int) -> None:
    end = datetime(2026, 2, 28, 9, tzinfo=UTC)  # a month after the 31st of January
    cut = {"di_1": 400} if coupon else {}
    whole = line(1_000, discount_cents=cut, period_start=START, period_end=end)
    first = preview(START, line(250, "ii_1"), whole)
    held = CouponSnapshot(coupon="c", **coupon) if coupon else None
    seen = combine_start(first, 0, held)
    assert seen.amount_due_now_cents == 1_250 - (400 if coupon else 0)
    assert (seen.next_amount_cents, seen.next_invoice_at) == (next_amount, end)


@pytest.mark.parametrize(("days", "next_amount"), [(27, 600), (28, 1_000), (40, 1_000)])
def test_a_start_with_a_trial_is_billed_at_its_end(days: int, next_amount: int) -> None:
    whole = line(1_000, discount_cents={"di_1": 400})
    held = CouponSnapshot(coupon="c", duration="repeating", duration_in_months=1)
    seen = combine_start(preview(START, whole), days, held)
    assert (seen.amount_due_now_cents, seen.next_amount_cents) == (0, next_amount)
    assert seen.next_invoice_at == START + timedelta(days=days)
