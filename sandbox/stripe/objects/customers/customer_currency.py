"""A customer's currency: one for all that is billed again and again, and a balance in each."""

from sandbox.stripe import errors
from sandbox.stripe.session import Object, Session

_LIVE = ["active", "incomplete", "past_due", "paused", "trialing", "unpaid"]
_HELD_BY = (("subscription", "status", _LIVE), ("invoiceitem", "_is_pending", 1))


def check(session: Session, customer_id: str, currency: str) -> None:
    """Refuse a second currency beside what the customer is billed in.

    Raises:
        ApiError: If a subscription, a schedule, an invoice item that waits or an open Checkout
            session for a subscription has another one.
    """
    held = next((each for each in _held(session, customer_id) if each != currency), None)
    if held is not None:
        raise combined(held)


def combined(held: str) -> errors.ApiError:
    """Return Stripe's refusal of a second currency."""
    return errors.invalid_request(
        "You cannot combine currencies on a single customer. This customer has an active "
        "subscription, subscription schedule, discount, quote, invoice item or active subscription "
        f"mode checkout session with currency {held}."
    )


def check_price(price: Object, currency: str, *, param: str) -> None:
    """Refuse a price that is in another currency than what it is for.

    Raises:
        ApiError: If it is.
    """
    if price["currency"] != currency:
        raise errors.invalid_request(
            f"The price specified only supports `{price['currency']}`. This doesn't match the "
            f"expected currency: `{currency}`.",
            param=param,
        )


def _held(session: Session, customer_id: str) -> list[str]:
    """Return the currencies of all that holds one."""
    held = [
        found["currency"]
        for kind, name, value in _HELD_BY
        for found in session.find(kind, customer=customer_id, **{name: value})
    ]
    running = {"customer": customer_id, "status": ["not_started", "active"]}
    for schedule in session.find("subscription_schedule", **running):
        held += [phase["currency"] for phase in schedule["phases"]]
    hosted = {"customer": customer_id, "status": "open", "mode": "subscription"}
    held += [each["currency"] for each in session.find("checkout.session", **hosted)]
    return held


def use(session: Session, customer: Object, currency: str, *, is_new: bool = False) -> None:
    """Make a currency the customer's default if there is none yet, or a new one begins.

    Args:
        session: The unit of work.
        customer: Changed in place.
        currency: What something of theirs is billed in.
        is_new: Whether a subscription or schedule starts, which replaces the default.
    """
    present = customer["currency"]
    if present == currency or (present is not None and not is_new):
        return
    others = {**customer.get("_balances", {})}
    balance = customer["balance"] if present is None else others.pop(currency, 0)
    if present is not None:
        others[present] = customer["balance"]
    changes = {"currency": currency, "balance": balance, "_balances": others}
    session.change(customer, changes)


def balance_of(customer: Object, currency: str) -> int:
    """Return a customer's balance in one currency."""
    if customer["currency"] in {None, currency}:
        return int(customer["balance"])
    return int(customer.get("_balances", {}).get(currency, 0))
