"""Payment methods: cards that answer by script, and who may use them."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

from sandbox.stripe import cards, declines, errors, method_types
from sandbox.stripe.cards import TestCard
from sandbox.stripe.objects.customers.addresses import NO_BILLING
from sandbox.stripe.session import Object, Session, new_id, shown

_YEARS_VALID = 8


def make(
    session: Session,
    card: TestCard,
    *,
    exp_month: int | None = None,
    exp_year: int | None = None,
    **fields: Any,
) -> Object:
    """Create a card that belongs to nobody yet; `fields` replace the defaults."""
    year = datetime.fromtimestamp(max(session.now, session.default_now), UTC).year
    return session.create(
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": NO_BILLING,
            "card": _card(card, exp_month or 12, exp_year or year + _YEARS_VALID),
            "created": session.default_now,
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
            "_script": list(card.script),
            "_used": 0,
            "_is_attachable": card.is_attachable,
            "_is_spent": False,
            "_is_set_up": False,
            "_challenge": card.challenge,
            "_aftermath": card.aftermath,
            "_risk": card.risk,
            **fields,
        }
    )


def make_other(session: Session, kind: str, script: tuple[str, ...]) -> Object:
    """Create a payment method that is no card; it answers by script, too."""
    details = dict(method_types.OTHERS[kind])
    if "fingerprint" in details:
        details["fingerprint"] = secrets.token_hex(8)
    fields: dict[str, Any] = {"type": kind, kind: details}
    made = make(session, TestCard(script=script), **fields)
    del made["card"]
    return session.change(made, {}, is_announced=False)


def _card(card: TestCard, exp_month: int, exp_year: int) -> Object:
    fingerprint = hashlib.sha256(f"{card.brand}{card.number}".encode()).hexdigest()
    checks: Object = {
        "address_line1_check": None,
        "address_postal_code_check": None,
        "cvc_check": "pass",
    }
    return {
        "brand": card.brand,
        "checks": checks | dict.fromkeys(card.failed_checks, "fail"),
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": fingerprint[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def is_expired(session: Session, method: Object) -> bool:
    """Say whether a card's last month is over."""
    today = datetime.fromtimestamp(session.default_now, UTC)
    card = method.get("card")
    if card is None:
        return False
    return (card["exp_year"], card["exp_month"]) < (today.year, today.month)


def take(session: Session, method_id: str, *, param: str = "payment_method") -> Object:
    """Return a payment method; one of Stripe's test names becomes a new card.

    Raises:
        ApiError: If there is no such payment method.
    """
    known = cards.TEST_CARDS.get(method_id) if method_id.startswith("pm_") else None
    if known is None:
        return session.get("payment_method", method_id, param=param)
    return make(session, known)


def check_usable(method: Object, customer_id: str | None) -> None:
    """Refuse a card that is another customer's or was used up.

    Raises:
        ApiError: If the card may not be used for this customer.
    """
    if method["_is_spent"]:
        raise errors.invalid_request(
            "This PaymentMethod was used before without a Customer, or was detached from one, "
            "and cannot be used again.",
            code="payment_method_unexpected_state",
            param="payment_method",
        )
    if method["customer"] not in {None, customer_id}:
        raise errors.invalid_request(
            "The payment method is attached to another customer.",
            code="payment_method_unexpected_state",
            param="payment_method",
        )


def own(session: Session, method: Object, customer_id: str) -> None:
    """Give a card to a customer.

    Raises:
        ApiError: If it is no card that can be kept.
    """
    if method["customer"] == customer_id:
        return
    check_usable(method, customer_id)
    if not method["_is_attachable"]:
        failure = declines.failure_of(method["_script"][0])
        raise errors.card_error(failure | {"param": failure["param"] or ""})
    session.change(method, {"customer": customer_id}, is_announced=False)
    session.emit("payment_method.attached", method)


def use_up(session: Session, method: Object, customer_id: str | None, usage: str | None) -> None:
    """Keep a card that has paid if that was wanted; one that nobody keeps pays only once.

    Args:
        session: The unit of work.
        method: The card.
        customer_id: Who paid.
        usage: `setup_future_usage` of the payment.
    """
    if usage and customer_id:
        own(session, method, customer_id)
    if usage == "off_session" and not method["_is_set_up"]:
        session.change(method, {"_is_set_up": True}, is_announced=False)
    if method["customer"] is None and not method["_is_spent"]:
        session.change(method, {"_is_spent": True}, is_announced=False)


def forget(session: Session, method: Object) -> Object:
    """Take a card from its customer, and from wherever it was the default."""
    owner = method["customer"]
    session.change(method, {"customer": None, "_is_spent": True}, is_announced=False)
    session.emit("payment_method.detached", method, previous={"customer": owner})
    customer = session.get("customer", owner)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        settings = customer["invoice_settings"] | {"default_payment_method": None}
        session.change(customer, {"invoice_settings": settings})
    for subscription in session.find("subscription", customer=owner):
        if subscription["default_payment_method"] == method["id"]:
            session.change(subscription, {"default_payment_method": None})
    return shown(method)


def renew(session: Session, method_id: str, changes: dict[str, Any]) -> Object:
    """Let a card's bank, and no one else, change its number's end or its expiry."""
    method = session.get("payment_method", method_id)
    if "card" not in method:
        raise errors.invalid_request("Only cards are renewed.")
    before = {"card": {name: method["card"][name] for name in changes}}
    card = method["card"] | changes
    session.change(method, {"card": card}, is_announced=False)
    session.emit("payment_method.automatically_updated", method, previous=before)
    return method
