"""Charges: one for each time that a card was asked, and what an intent makes of the answer."""

from typing import Any

from sandbox.stripe import cards, declines
from sandbox.stripe.cards import AT_ONCE
from sandbox.stripe.declines import AUTHENTICATION_REQUIRED
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.payments import balance, challenges, charge_shape, disputes
from sandbox.stripe.session import Object, Session, shown

AUTHORIZATION_LIFETIME = 7 * 86_400
SECONDS_TO_BOOK = 2
_PLAINLY_OK = (None, cards.REFUND_FAILS, cards.REFUND_WAITS)


def attempt(session: Session, intent: Object, method: Object, *, is_off_session: bool) -> Object:
    """Ask the card for the intent's amount; the intent tells the outcome by its status.

    Args:
        session: The unit of work.
        intent: Changed in place: `succeeded`, `requires_capture`, `requires_payment_method` or
            `requires_action`.
        method: The card; its script moves on by one unless it asks for 3-D Secure first.
        is_off_session: Without the customer a challenge is a decline, as nobody can answer it.

    Returns:
        The intent.
    """
    # Reason: a job renews; the customer is away, though the challenge is kept for him.
    is_away = is_off_session or session.request_id is None
    wanted = intent["payment_method_options"]["card"]["request_three_d_secure"] != "automatic"
    if intent["_is_authenticated"]:
        return settle_answer(session, intent, method)
    if cards.is_challenged(method, is_off_session=is_away, is_asked=wanted):
        outcome = AUTHENTICATION_REQUIRED
    else:
        outcome = _answer(session, method)
    if declines.name_of(outcome) == AUTHENTICATION_REQUIRED and not is_off_session:
        challenges.ask(session, intent, method)
        _record(session, intent, "failed", None, AUTHENTICATION_REQUIRED)
        return intent
    return _take(session, intent, method, outcome)


def settle_answer(session: Session, intent: Object, method: Object) -> Object:
    """Charge a card whose owner has just proved who he is."""
    # Reason: a script's challenge was this charge's own entry; other cards have not spoken yet.
    outcome = _answer(session, method) if method["_challenge"] else cards.OK
    session.change(intent, {"_is_authenticated": False}, is_announced=False)
    return _take(session, intent, method, outcome, is_authenticated=True)


def _answer(session: Session, method: Object) -> str:
    outcome = cards.next_answer(method)
    session.change(method, {}, is_announced=False)
    return "expired_card" if payment_methods.is_expired(session, method) else outcome


def _take(
    session: Session,
    intent: Object,
    method: Object,
    outcome: str,
    *,
    is_authenticated: bool = False,
) -> Object:
    if outcome != cards.OK:
        return _decline(session, intent, method, outcome)
    charge = charge_shape.charge(session, intent, method, is_authenticated=is_authenticated)
    charge["_aftermath"] = method["_aftermath"]
    if intent["capture_method"] == "manual":
        _authorize(session, intent, charge)
    else:
        _succeed(session, intent, charge)
    usage = intent["setup_future_usage"]
    payment_methods.use_up(session, method, intent["customer"], usage)
    return intent


def _accept(session: Session, intent: Object, charge: Object, **changes: Any) -> None:
    changes |= {
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": charge["payment_method"],
    }
    session.change(intent, changes, is_announced=False)


def _authorize(session: Session, intent: Object, charge: Object) -> None:
    lapses_at = session.default_now + AUTHORIZATION_LIFETIME
    details = charge["payment_method_details"]
    details[details["type"]] = details[details["type"]] | {"capture_before": lapses_at}
    session.create(charge, event="charge.succeeded")
    amount = intent["amount"]
    _accept(session, intent, charge, status="requires_capture", amount_capturable=amount)
    session.emit("payment_intent.amount_capturable_updated", intent)
    session.schedule("expire_authorization", intent["id"], lapses_at, is_payment=True)


def _succeed(session: Session, intent: Object, charge: Object) -> None:
    charge |= {"amount_captured": charge["amount"], "captured": True}
    is_async = intent["capture_method"] == "automatic_async"
    is_plain = charge["_aftermath"] in _PLAINLY_OK
    if is_async and is_plain:
        due_at = session.default_now + SECONDS_TO_BOOK
        session.schedule("book_charge", charge["id"], due_at, is_payment=True)
    else:
        book(session, charge)
    session.create(charge, event="charge.succeeded")
    finish(session, intent, charge)


def finish(session: Session, intent: Object, charge: Object) -> None:
    """Let an intent succeed by a charge that was captured."""
    amount = charge["amount_captured"]
    changes = {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    _accept(session, intent, charge, **changes)
    session.emit("payment_intent.succeeded", intent)
    _record(session, intent, "succeeded", charge["id"], None, amount)
    disputes.follow(session, charge)


def book(session: Session, charge: Object) -> None:
    """Enter a captured charge into the balance, less its fee."""
    amount = charge["amount_captured"]
    entry = balance.enter(
        session,
        "charge",
        amount,
        charge,
        fee=(balance.card_fee(amount), "Stripe processing fees"),
        is_at_once=charge["_aftermath"] == AT_ONCE,
        description=charge["description"],
    )
    charge["balance_transaction"] = entry["id"]


def run_book(session: Session, charge_id: str) -> None:
    """Job: an asynchronous capture is done."""
    charge = session.store.get(charge_id)
    if charge is not None:
        book(session, charge)
        session.store.put(charge)
        session.emit("charge.updated", charge, previous={"balance_transaction": None})


def _decline(session: Session, intent: Object, method: Object, outcome: str) -> Object:
    charge = charge_shape.charge(session, intent, method, declined=outcome)
    session.create(charge, event="charge.failed")
    failure = declines.failure_of(outcome) | {
        "charge": charge["id"],
        "payment_method": shown(method),
        "payment_method_type": method["type"],
    }
    session.change(
        intent,
        {
            "status": "requires_payment_method",
            "last_payment_error": {k: v for k, v in failure.items() if v is not None},
            "latest_charge": charge["id"],
            "next_action": None,
            "payment_method": None,
        },
        is_announced=False,
    )
    session.emit("payment_intent.payment_failed", intent)
    _record(session, intent, "failed", charge["id"], declines.name_of(outcome))
    return intent


def _record(
    session: Session,
    intent: Object,
    outcome: str,
    charge_id: str | None,
    decline: str | None,
    amount: int | None = None,
) -> None:
    session.record(
        kind="charge",
        outcome=outcome,
        amount=intent["amount"] if amount is None else amount,
        currency=intent["currency"],
        customer=intent["customer"],
        subscription=intent["_subscription"],
        invoice=intent["_invoice"],
        payment_intent=intent["id"],
        charge=charge_id,
        decline_code=decline,
    )
