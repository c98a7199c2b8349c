"""What charges look like."""

from typing import Any

from sandbox.stripe import declines, method_types
from sandbox.stripe.session import Object, Session, new_id

_SCORES = {"normal": 20, "elevated": 70, "blocked": 95}
_SHOWN_OF_CARD = (
    "brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4",
)  # fmt: skip
_BLANK: Object = {
    "amount_captured": 0,
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,
    "captured": False,
    "disputed": False,
    "failure_balance_transaction": None,
    "fraud_details": {},
    "livemode": False,
    "on_behalf_of": None,
    "radar_options": {},
    "receipt_number": None,
    "refunded": False,
    "review": None,
    "source": None,
    "source_transfer": None,
    "transfer_data": None,
    "transfer_group": None,
}


def charge(
    session: Session,
    intent: Object,
    method: Object,
    *,
    declined: str | None = None,
    is_authenticated: bool = False,
) -> Object:
    """Return a charge that nothing has come of yet but the card's answer."""
    failure = declines.failure_of(declined) if declined else {}
    charge_id = new_id("ch")
    descriptor = intent["statement_descriptor"]
    suffix = intent["statement_descriptor_suffix"]
    return {
        **_BLANK,
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": _descriptor(descriptor, suffix),
        "created": session.default_now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "failure_code": failure.get("code"),
        "failure_message": failure.get("message"),
        "metadata": dict(intent["metadata"]),
        "outcome": _outcome(failure, method["_risk"]),
        "paid": not failure,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": card_details(
            method, is_authenticated=is_authenticated, amount=None if failure else intent["amount"]
        ),
        "receipt_email": intent["receipt_email"],
        "receipt_url": None if failure else f"{session.base_url}/receipts/{charge_id}",
        "shipping": intent["shipping"],
        "statement_descriptor": descriptor,
        "statement_descriptor_suffix": suffix,
        "status": "failed" if failure else "succeeded",
    }


def _descriptor(whole: str | None, suffix: str | None) -> str:
    return whole or (f"SANDBOX* {suffix}" if suffix else "SANDBOX")


def _outcome(failure: dict[str, Any], risk: str) -> Object:
    is_blocked = bool(failure) and risk == "blocked"
    network = "not_sent_to_network" if is_blocked else "declined_by_network"
    declined = "Blocked as too risky." if is_blocked else "The bank declined this payment."
    reason = "highest_risk_level" if is_blocked else None
    kind = "blocked" if is_blocked else "issuer_declined"
    return {
        "advice_code": failure.get("advice_code"),
        "network_advice_code": failure.get("network_advice_code"),
        "network_decline_code": None if is_blocked else failure.get("network_decline_code"),
        "network_status": network if failure else "approved_by_network",
        "reason": reason or failure.get("decline_code") or failure.get("code"),
        "risk_level": "highest" if risk == "blocked" else risk,
        "risk_score": _SCORES[risk],
        "seller_message": declined if failure else "Payment complete.",
        "type": kind if failure else "authorized",
    }


def card_details(method: Object, *, is_authenticated: bool, amount: int | None = None) -> Object:
    """Return a card, or another payment method, as charges show it."""
    if "card" not in method:
        return method_types.charged(method)
    card = method["card"]
    secure: Object = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    return {
        "card": {name: card[name] for name in _SHOWN_OF_CARD}
        | {
            "amount_authorized": amount,
            "authorization_code": None,
            "electronic_commerce_indicator": "05" if is_authenticated else None,
            "installments": None,
            "mandate": None,
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "regulated_status": card["regulated_status"],
            "three_d_secure": secure if is_authenticated else None,
            "transaction_link_id": None,
            "wallet": None,
        },
        "type": "card",
    }
