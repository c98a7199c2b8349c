"""Declines: every way in which a card says no, and how Stripe words it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

AUTHENTICATION_REQUIRED = "authentication_required"
LATER, NEVER, CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"
ADVICE = (LATER, NEVER, CHECK)
OVERRIDES = ("advice_code", "decline_code", "network_advice_code", "network_decline_code")
"""What a script can say otherwise of a decline; an empty value leaves the field out."""


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


def _of_card(name: str, message: str, param: str | None, network_decline_code: str) -> Decline:
    """Return a decline that Stripe tells by the error's own code, without a decline code."""
    return Decline(message, CHECK, name, network_decline_code, has_decline_code=False, param=param)


_NO = "Your card was declined."
_PIN = "Your card was declined because it requires a PIN."
DECLINES: dict[str, Decline] = {
    "approve_with_id": Decline(_NO, LATER),
    "authentication_not_handled": Decline(_NO, network_decline_code="1A"),
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
    "expired_card": _of_card("expired_card", "Your card has expired.", "exp_month", "54"),
    "fraudulent": Decline(_NO, NEVER, network_decline_code="59"),
    "generic_decline": Decline(_NO),
    "incorrect_address": _of_card(
        "incorrect_address", "Your card's address is incorrect.", None, "05"
    ),
    "incorrect_cvc": _of_card(
        "incorrect_cvc", "Your card's security code is incorrect.", "cvc", "N7"
    ),
    "incorrect_number": _of_card(
        "incorrect_number", "Your card number is incorrect.", "number", "14"
    ),
    "incorrect_pin": Decline("The PIN entered is incorrect.", network_decline_code="55"),
    "incorrect_zip": _of_card(
        "incorrect_zip", "Your card's zip code failed validation.", "address_zip", "05"
    ),
    "insufficient_funds": Decline(
        "Your card has insufficient funds.", LATER, network_decline_code="51"
    ),
    "invalid_account": Decline(_NO, CHECK, network_decline_code="14"),
    "invalid_amount": Decline(_NO, network_decline_code="13"),
    "invalid_cvc": _of_card("invalid_cvc", "Your card's security code is invalid.", "cvc", "N7"),
    "invalid_expiry_month": _of_card(
        "invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month", "54"
    ),
    "invalid_expiry_year": _of_card(
        "invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year", "54"
    ),
    "invalid_number": _of_card(
        "invalid_number", "The card number is not a valid credit card number.", "number", "14"
    ),
    "invalid_pin": Decline("The PIN entered is incorrect.", network_decline_code="55"),
    "issuer_not_available": Decline(_NO, LATER, network_decline_code="91"),
    "lost_card": Decline(_NO, NEVER, network_decline_code="41", network_advice_code="03"),
    "merchant_blacklist": Decline(_NO, NEVER),
    "mobile_device_authentication_required": Decline(_NO, network_decline_code="1A"),
    "new_account_information_available": Decline(_NO, CHECK, network_advice_code="01"),
    "no_action_taken": Decline(_NO),
    "not_permitted": Decline(_NO, NEVER, network_decline_code="57"),
    "offline_pin_required": Decline(_PIN, network_decline_code="55"),
    "online_or_offline_pin_required": Decline(_PIN, network_decline_code="55"),
    "pickup_card": Decline(_NO, NEVER, network_decline_code="04", network_advice_code="03"),
    "pin_try_exceeded": Decline(
        "The allowable number of PIN tries was exceeded.", network_decline_code="75"
    ),
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


def scripted(name: str, overrides: Mapping[str, str | None]) -> str:
    """Return a script's entry for a decline that says some fields otherwise."""
    given = {field: value or "" for field, value in overrides.items()}
    return f"{name}?{urlencode(given)}" if given else name


def name_of(outcome: str) -> str:
    """Return the decline that a script's entry is about."""
    return outcome.partition("?")[0]


def failure_of(outcome: str) -> dict[str, Any]:
    """Return the fields of `last_payment_error` that a decline decides; None: it is not there."""
    name, _, given = outcome.partition("?")
    decline = DECLINES[name]
    overrides = {field: value or None for field, value in parse_qsl(given, keep_blank_values=True)}
    return {
        "advice_code": decline.advice_code,
        "code": decline.code,
        "decline_code": name if decline.has_decline_code else None,
        "doc_url": f"https://docs.stripe.com/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
        "type": "card_error",
        **overrides,
    }
