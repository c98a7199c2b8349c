"""Authorized money: taken, in whole or in part, or let go."""

from sandbox.stripe import errors
from sandbox.stripe.objects.payments import charges, intents, refunds
from sandbox.stripe.session import Object, Session


def capture(session: Session, intent: Object, wanted: int | None, *, param: str) -> None:
    """Take what was authorized, or a part of it; the rest goes back to the card.

    Args:
        session: The unit of work.
        intent: Changed in place.
        wanted: How much; None is all.
        param: How the caller named the amount.

    Raises:
        ApiError: If that is more than was authorized.
    """
    charge = session.get("charge", intent["latest_charge"])
    amount: int = intent["amount_capturable"] if wanted is None else wanted
    if amount > intent["amount_capturable"]:
        raise errors.invalid_request(
            f"{amount} is more than the {intent['amount_capturable']} that can be captured.",
            code="amount_too_large",
            param=param,
        )
    rest = charge["amount"] - amount
    charge |= {"amount_captured": amount, "amount_refunded": rest, "captured": True}
    charges.book(session, charge)
    session.store.put(charge)
    if rest:
        refunds.release(session, charge, rest)
    session.emit("charge.captured", charge)
    charges.finish(session, intent, charge)


def cancel(session: Session, intent: Object, reason: str | None) -> Object:
    """Call an intent off, and let go of what it holds.

    Raises:
        ApiError: If it is too late for that.
    """
    is_holding = intent["status"] == "requires_capture"
    intents.cancel(session, intent, reason)
    if is_holding:
        charge = session.get("charge", intent["latest_charge"])
        before = {"amount_refunded": 0, "refunded": False}
        changes = {"amount_refunded": charge["amount"], "refunded": True}
        session.change(charge, changes, is_announced=False)
        refunds.release(session, charge, charge["amount"])
        kind = "charge.expired" if reason == "expired" else "charge.refunded"
        session.emit(kind, charge, previous=before)
    return intent


def run_expire(session: Session, intent_id: str) -> None:
    """Job: an authorization that nobody used lapses."""
    intent = session.store.get(intent_id)
    if intent and intent["status"] == "requires_capture":
        cancel(session, intent, "expired")
