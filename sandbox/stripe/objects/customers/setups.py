"""What becomes of setup intents: a card is proved, and kept for later without being charged."""

from sandbox.stripe import cards, declines, errors
from sandbox.stripe.objects.customers import payment_methods, setup_attempts
from sandbox.stripe.objects.payments import challenges
from sandbox.stripe.session import Object, Session, shown

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def confirm(session: Session, intent: Object, method: Object, *, is_asked: bool) -> None:
    """Ask a card whether it can be kept.

    Args:
        session: The unit of work.
        intent: Changed in place.
        method: The card; no entry of its script is used.
        is_asked: Whether the seller wants 3-D Secure where it is optional.

    Raises:
        ApiError: If the card says no.
    """
    payment_methods.check_usable(method, intent["customer"])
    if not method["_is_attachable"]:
        failure = declines.failure_of(method["_script"][0])
        fail(session, intent, method, failure)
        raise errors.card_error(intent["last_setup_error"], setup_intent=shown(intent))
    if method["_challenge"] != cards.ON_SESSION and cards.is_challenged(
        method, is_off_session=False, is_asked=is_asked
    ):
        challenges.ask(session, intent, method)
        setup_attempts.note(session, intent, method, is_authenticated=False)
        return
    succeed(session, intent, method, is_authenticated=False)


def succeed(session: Session, intent: Object, method: Object, *, is_authenticated: bool) -> None:
    """Keep a card for its customer."""
    changes = {"status": "succeeded", "payment_method": method["id"], "last_setup_error": None}
    session.change(intent, changes | {"next_action": None}, is_announced=False)
    setup_attempts.note(session, intent, method, is_authenticated=is_authenticated)
    session.emit("setup_intent.succeeded", intent)
    if intent["usage"] == "off_session":
        session.change(method, {"_is_set_up": True}, is_announced=False)
    if intent["customer"]:
        payment_methods.own(session, method, intent["customer"])
    _serve_subscription(session, intent)


def _serve_subscription(session: Session, intent: Object) -> None:
    """Let the subscription that waited for this card have it, if its settings ask for that."""
    subscription = session.store.get(intent.get("_subscription") or "")
    if subscription is None or subscription["pending_setup_intent"] != intent["id"]:
        return
    changes = {"pending_setup_intent": None}
    if subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        changes["default_payment_method"] = intent["payment_method"]
    session.change(subscription, changes)


def fail(session: Session, intent: Object, method: Object, failure: Object) -> None:
    """Say that a card cannot be kept, and wait for another."""
    known = {name: value for name, value in failure.items() if value is not None}
    changes = {
        "status": "requires_payment_method",
        "last_setup_error": known | {"payment_method": shown(method)},
        "next_action": None,
        "payment_method": None,
    }
    session.change(intent, changes, is_announced=False)
    setup_attempts.note(session, intent, method, is_authenticated=False)
    session.emit("setup_intent.setup_failed", intent)
