"""What a customer's balance, credit (below zero) or debt, does to an invoice: plain arithmetic."""

from typing import NamedTuple

from sandbox.stripe.currencies import least_charge


class Settled(NamedTuple):
    """What an invoice comes to once the balance is applied."""

    amount_due: int
    ending_balance: int


def applied(total: int, balance: int, currency: str) -> Settled:
    """Apply a balance to an invoice's total: what is left over, or too small, stays on it."""
    owed = total + balance
    if owed <= 0 or owed < least_charge(currency):
        return Settled(0, owed)
    return Settled(owed, 0)
