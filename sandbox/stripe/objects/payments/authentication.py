"""How a challenge ends: the customer has proved who he is, or has not."""

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import setups
from sandbox.stripe.objects.invoices import invoices
from sandbox.stripe.objects.payments import charges
from sandbox.stripe.session import Object, Session, shown

_MESSAGE = "The payment method failed authentication. Another one, or another try, may do."


def waiting(session: Session, intent_id: str) -> Object:
    """Return a payment or setup intent whose customer is asked.

    Raises:
        ApiError: If there is none of this id, or it does not wait.
    """
    kind = "setup_intent" if intent_id.startswith("seti_") else "payment_intent"
    intent = session.get(kind, intent_id)
    if intent["status"] != "requires_action":
        raise errors.invalid_request(
            f"This {kind} is {intent['status']} and waits for no authentication.",
            code=f"{kind}_unexpected_state",
        )
    return intent


def complete(session: Session, intent_id: str, *, is_passed: bool) -> Object:
    """End a challenge; a payment's charge happens now, and its invoice follows.

    Args:
        session: The unit of work.
        intent_id: A payment or setup intent that waits.
        is_passed: Whether the customer proved who he is.

    Returns:
        The intent.

    Raises:
        ApiError: If it does not wait.
    """
    intent = waiting(session, intent_id)
    method = session.get("payment_method", intent["payment_method"])
    if intent["object"] == "setup_intent":
        if is_passed:
            setups.succeed(session, intent, method, is_authenticated=True)
        else:
            setups.fail(session, intent, method, _failure("setup_intent"))
        return intent
    if is_passed and intent["confirmation_method"] == "manual":
        changes = {"status": "requires_confirmation", "next_action": None}
        return session.change(intent, changes | {"_is_authenticated": True}, is_announced=False)
    if is_passed:
        charges.settle_answer(session, intent, method)
    else:
        _fail(session, intent, method)
    if intent["_invoice"]:
        invoices.after_attempt(session, session.get("invoice", intent["_invoice"]), intent)
    return intent


def _failure(kind: str) -> Object:
    code = f"{kind}_authentication_failure"
    page = code.replace("_", "-")
    return {
        "code": code,
        "doc_url": f"https://docs.stripe.com/error-codes/{page}",
        "message": _MESSAGE,
        "type": "invalid_request_error",
    }


def _fail(session: Session, intent: Object, method: Object) -> None:
    failure = _failure("payment_intent")
    changes = {
        "status": "requires_payment_method",
        "last_payment_error": failure | {"payment_method": shown(method)},
        "next_action": None,
        "payment_method": None,
    }
    session.change(intent, changes, is_announced=False)
    session.emit("payment_intent.payment_failed", intent)
