"""A customer's balance: credit (negative) and debt (positive) that the next invoice settles."""

from typing import NamedTuple

from sandbox.stripe.currencies import least_charge
from sandbox.stripe.session import Object, Session, new_id


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


def move(session: Session, customer: Object, invoice: Object, balance: int, kind: str) -> None:
    """Set a balance because of an invoice, and note the movement."""
    if balance == customer["balance"]:
        return
    movement: Object = {
        "id": new_id("cbtxn"),
        "object": "customer_balance_transaction",
        "amount": balance - customer["balance"],
        "checkout_session": None,
        "created": session.now,
        "credit_note": None,
        "currency": invoice["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "description": None,
        "ending_balance": balance,
        "invoice": invoice["id"],
        "livemode": False,
        "metadata": {},
        "type": kind,
    }
    session.create(movement)
    session.change(customer, {"balance": balance})
