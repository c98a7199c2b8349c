"""Payment intents as the other objects use them: made, and called off."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.session import Object, Session, new_id, shown

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (*OPEN, "requires_capture")


_BLANK: Object = {
    "allowed_payment_method_types": None,
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic",
    "confirmation_method": "automatic",
    "customer_account": None,
    "description": None,
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "managed_payments": None,
    "metadata": {},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {
        "card": {
            "installments": None,
            "mandate_options": None,
            "network": None,
            "request_three_d_secure": "automatic",
        }
    },
    "payment_method_types": ["card"],
    "payment_record": None,
    "processing": None,
    "receipt_email": None,
    "review": None,
    "setup_future_usage": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "requires_payment_method",
    "transfer_data": None,
    "transfer_group": None,
}


def make(
    session: Session,
    amount: int,
    currency: str,
    customer_id: str | None,
    *,
    invoice: Object | None = None,
    **fields: Any,
) -> Object:
    """Create an intent that waits for a payment method; `fields` replace the defaults."""
    intent_id = new_id("pi")
    subscription_id = subscription_of(invoice) if invoice else None
    body: Object = {
        **_BLANK,
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "client_secret": f"{intent_id}_{new_id('secret')}",
        "created": session.default_now,
        "currency": currency,
        "customer": customer_id,
        "setup_future_usage": "off_session" if subscription_id else None,
        "_invoice": invoice["id"] if invoice else None,
        "_is_authenticated": False,
        "_return_url": None,
        "_subscription": subscription_id,
        **fields,
    }
    return session.create(body, event="payment_intent.created")


def check_way_back(intent: Object, return_url: str | None) -> None:
    """Refuse to confirm without a way back from where other payment methods lead.

    Raises:
        ApiError: If the intent allows such methods.
    """
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["enabled"] and automatic["allow_redirects"] == "always":
        if return_url:
            return
        raise errors.invalid_request(
            f"This {intent['object']} takes all payment methods of the account, and some of them "
            "lead away from your page: give a return_url, or set "
            "automatic_payment_methods[allow_redirects] to never.",
        )


def cancel(session: Session, intent: Object, reason: str | None) -> Object:
    """Call an intent off.

    Raises:
        ApiError: If it is too late for that.
    """
    if intent["status"] not in CANCELABLE:
        raise errors.invalid_request(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
            payment_intent=shown(intent),
        )
    changes = {
        "status": "canceled",
        "canceled_at": session.default_now,
        "cancellation_reason": reason,
    }
    nothing = {"amount_capturable": 0, "next_action": None}
    session.change(intent, changes | nothing, is_announced=False)
    session.emit("payment_intent.canceled", intent)
    return intent


def subscription_of(invoice: Object) -> str | None:
    """Return the subscription that an invoice belongs to."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None
