"""Charges: one for each time that a card was asked, and the intent's view of the answer."""

from typing import Any

from sandbox.stripe import cards
from sandbox.stripe.objects import payment_methods
from sandbox.stripe.params import PAGE, Group, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id, page_of, shown


def attempt(session: Session, intent: Object, method: Object, *, is_off_session: bool) -> Object:
    """Ask the card for the intent's amount; the intent tells the outcome by its status.

    Args:
        session: The unit of work.
        intent: Changed in place: `succeeded`, `requires_payment_method` or `requires_action`.
        method: The card; its script moves on by one.
        is_off_session: Without the customer a challenge is a decline, as nobody can answer it.

    Returns:
        The intent.
    """
    outcome = cards.next_answer(method)
    session.change(method, {}, is_announced=False)
    if outcome == cards.OK:
        return _succeed(session, intent, method)
    if outcome == cards.AUTHENTICATION_REQUIRED and not is_off_session:
        return _challenge(session, intent, method)
    return _decline(session, intent, method, outcome)


def _succeed(session: Session, intent: Object, method: Object) -> Object:
    charge = session.create(_body(session, intent, method, None), event="charge.succeeded")
    session.change(
        intent,
        {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "last_payment_error": None,
            "latest_charge": charge["id"],
            "next_action": None,
            "payment_method": method["id"],
        },
        is_announced=False,
    )
    session.emit("payment_intent.succeeded", intent)
    _record(session, intent, "succeeded", charge["id"], None)
    return intent


def _challenge(session: Session, intent: Object, method: Object) -> Object:
    url = f"{session.base_url}/3d_secure/{intent['id']}"
    session.change(
        intent,
        {
            "status": "requires_action",
            "last_payment_error": None,
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {"return_url": intent.get("_return_url"), "url": url},
            },
            "payment_method": method["id"],
        },
        is_announced=False,
    )
    session.emit("payment_intent.requires_action", intent)
    _record(session, intent, "failed", None, cards.AUTHENTICATION_REQUIRED)
    return intent


def _decline(session: Session, intent: Object, method: Object, outcome: str) -> Object:
    charge = session.create(_body(session, intent, method, outcome), event="charge.failed")
    failure = cards.failure_of(outcome) | {
        "charge": charge["id"],
        "payment_method": shown(method),
        "payment_method_type": "card",
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
    _record(session, intent, "failed", charge["id"], outcome)
    return intent


def _record(
    session: Session, intent: Object, outcome: str, charge_id: str | None, decline: str | None
) -> None:
    session.record(
        kind="charge",
        outcome=outcome,
        amount=intent["amount"],
        currency=intent["currency"],
        customer=intent["customer"],
        subscription=intent["_subscription"],
        invoice=intent["_invoice"],
        payment_intent=intent["id"],
        charge=charge_id,
        decline_code=decline,
    )


def _body(session: Session, intent: Object, method: Object, outcome: str | None) -> Object:
    failure = cards.failure_of(outcome) if outcome else {}
    is_paid = outcome is None
    charge_id = new_id("ch")
    return {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if is_paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": payment_methods.BILLING_DETAILS,
        "calculated_statement_descriptor": "SANDBOX",
        "captured": is_paid,
        "created": session.default_now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": failure.get("code"),
        "failure_message": failure.get("message"),
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(failure),
        "paid": is_paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _card_details(method),
        "presentment_details": None,
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": f"{session.base_url}/receipts/{charge_id}" if is_paid else None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if is_paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(failure: dict[str, Any]) -> Object:
    return {
        "advice_code": failure.get("advice_code"),
        "network_advice_code": failure.get("network_advice_code"),
        "network_decline_code": failure.get("network_decline_code"),
        "network_status": "declined_by_network" if failure else "approved_by_network",
        "reason": failure.get("decline_code") or failure.get("code"),
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": ("The bank declined this payment." if failure else "Payment complete."),
        "type": "issuer_declined" if failure else "authorized",
    }


def _card_details(method: Object) -> Object:
    card = method["card"]
    kept = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
    )
    return {
        "card": {name: card[name] for name in kept}
        | {
            "installments": None,
            "mandate": None,
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "regulated_status": card["regulated_status"],
            "three_d_secure": None,
            "wallet": None,
        },
        "type": "card",
    }


def retrieve(session: Session, _params: dict[str, Any], charge_id: str) -> Object:
    """GET /v1/charges/{id}."""
    return shown(session.get("charge", charge_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/charges."""
    filters = {name: params[name] for name in ("customer", "payment_intent") if params.get(name)}
    return page_of(session, "charge", "/v1/charges", params, filters)


ROUTES = (
    Route("GET", "/v1/charges/{id}", retrieve),
    Route(
        "GET",
        "/v1/charges",
        list_all,
        Group({**PAGE, "customer": Text(), "payment_intent": Text(), "created": Range()}),
    ),
)
