"""What a coupon takes off: plain arithmetic, without any store."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sandbox.stripe.calendars import period_end
from sandbox.stripe.currencies import rounded


def taken_off(coupon: Mapping[str, Any], amount: int, currency: str) -> int:
    """Return what a coupon takes off an amount, never more than all of it.

    Args:
        coupon: A coupon as the API shows it.
        amount: In the currency's smallest unit; nothing is taken off a credit.
        currency: Of the amount; a fixed sum in another currency takes nothing off.

    Returns:
        The discount; halves of the smallest unit are rounded up.
    """
    if amount <= 0:
        return 0
    if coupon["percent_off"] is not None:
        return rounded(amount * Fraction(str(coupon["percent_off"])) / 100, currency)
    return min(amount, coupon["amount_off"]) if coupon["currency"] == currency else 0


def spread(discount: int, amounts: Sequence[int]) -> list[int]:
    """Divide a discount over amounts by their size; the parts add up to it exactly.

    Args:
        discount: At most the sum of the amounts.
        amounts: What is discounted, none below zero.

    Returns:
        One part for each amount; single units that are left go to the largest remainders.
    """
    total = sum(amounts)
    if total == 0:
        return [0] * len(amounts)
    parts = [discount * amount // total for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda i: -(discount * amounts[i] % total))
    for index in by_remainder[: discount - sum(parts)]:
        parts[index] += 1
    return parts


def ends_at(coupon: Mapping[str, Any], start: int) -> int | None:
    """Return when a discount that starts now stops, None unless the coupon is repeating."""
    if coupon["duration"] != "repeating":
        return None
    return period_end(start, "month", coupon["duration_in_months"])
