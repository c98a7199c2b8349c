"""Declines: every way in which a card says no, and how Stripe words it."""

from dataclasses import dataclass
from typing import Any

AUTHENTICATION_REQUIRED = "authentication_required"
LATER, NEVER, CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"


@dataclass(frozen=True)
class Decline:
    """One way to say no."""

    message: str
    advice_code: str | None = None
    code: str = "card_declined"
    network_decline_code: str = "05"
    network_advice_code: str | None = None
    has_decline_code: bool = True
    param: str | None = None


_NO = "Your card was declined."
DECLINES: dict[str, Decline] = {
    "approve_with_id": Decline(_NO, LATER),
    AUTHENTICATION_REQUIRED: Decline(
        "Your card was declined. This transaction requires authentication.",
        code=AUTHENTICATION_REQUIRED,
        network_decline_code="1A",
    ),
    "call_issuer": Decline(_NO),
    "card_not_supported": Decline("Your card does not support this type of purchase.", NEVER),
    "card_velocity_exceeded": Decline(
        "Your card was declined for exceeding its limits.", LATER, network_decline_code="61"
    ),
    "currency_not_supported": Decline(_NO, NEVER),
    "do_not_honor": Decline(_NO, LATER),
    "do_not_try_again": Decline(_NO, NEVER),
    "duplicate_transaction": Decline(_NO),
    "expired_card": Decline(
        "Your card has expired.",
        CHECK,
        code="expired_card",
        network_decline_code="54",
        param="exp_month",
        has_decline_code=False,
    ),
    "fraudulent": Decline(_NO, NEVER, network_decline_code="59"),
    "generic_decline": Decline(_NO),
    "incorrect_cvc": Decline(
        "Your card's security code is incorrect.",
        CHECK,
        code="incorrect_cvc",
        param="cvc",
        network_decline_code="N7",
        has_decline_code=False,
    ),
    "incorrect_number": Decline(
        "Your card number is incorrect.",
        CHECK,
        code="incorrect_number",
        param="number",
        network_decline_code="14",
        has_decline_code=False,
    ),
    "incorrect_zip": Decline(
        "Your card's zip code failed validation.",
        CHECK,
        code="incorrect_zip",
        param="address_zip",
        has_decline_code=False,
    ),
    "insufficient_funds": Decline(
        "Your card has insufficient funds.", LATER, network_decline_code="51"
    ),
    "invalid_account": Decline(_NO, CHECK, network_decline_code="14"),
    "invalid_amount": Decline(_NO, network_decline_code="13"),
    "issuer_not_available": Decline(_NO, LATER, network_decline_code="91"),
    "lost_card": Decline(_NO, NEVER, network_decline_code="41", network_advice_code="03"),
    "merchant_blacklist": Decline(_NO, NEVER),
    "new_account_information_available": Decline(_NO, CHECK, network_advice_code="01"),
    "no_action_taken": Decline(_NO),
    "not_permitted": Decline(_NO, NEVER, network_decline_code="57"),
    "pickup_card": Decline(_NO, NEVER, network_decline_code="04", network_advice_code="03"),
    "processing_error": Decline(
        "An error occurred while processing your card. Try again in a little bit.",
        LATER,
        code="processing_error",
        network_decline_code="96",
        has_decline_code=False,
    ),
    "reenter_transaction": Decline(_NO, LATER, network_decline_code="19"),
    "restricted_card": Decline(_NO, NEVER, network_decline_code="62"),
    "revocation_of_all_authorizations": Decline(_NO, NEVER, network_decline_code="R1"),
    "revocation_of_authorization": Decline(_NO, NEVER, network_decline_code="R0"),
    "security_violation": Decline(_NO, network_decline_code="63"),
    "service_not_allowed": Decline(_NO),
    "stolen_card": Decline(_NO, NEVER, network_decline_code="43", network_advice_code="03"),
    "stop_payment_order": Decline(_NO, NEVER, network_decline_code="R0"),
    "test_mode_live_card": Decline(
        "Your card was declined. Only test cards work here, and this is none.",
    ),
    "testmode_decline": Decline(_NO, NEVER),
    "transaction_not_allowed": Decline(_NO, NEVER, network_decline_code="57"),
    "try_again_later": Decline(_NO, LATER, network_advice_code="02"),
    "withdrawal_count_limit_exceeded": Decline(_NO, LATER, network_decline_code="65"),
}
"""Every decline a card can give, by the name that scripts use."""


def failure_of(outcome: str) -> dict[str, Any]:
    """Return the fields of `last_payment_error` that a decline decides."""
    decline = DECLINES[outcome]
    return {
        "advice_code": decline.advice_code,
        "code": decline.code,
        "decline_code": outcome if decline.has_decline_code else None,
        "doc_url": f"https://docs.stripe.com/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
        "type": "card_error",
    }
