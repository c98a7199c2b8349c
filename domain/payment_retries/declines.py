"""Classifies declined charges: whether and how the next charge can succeed.

Sources: Stripe's documentation on decline codes, on error codes and on advice codes.
"""

from enum import StrEnum


class DeclineClass(StrEnum):
    """The classes of failed charges."""

    SOFT = "soft"
    HARD = "hard"
    AUTHENTICATION = "authentication"


AUTHENTICATION_REQUIRED = "authentication_required"
# Our own reasons for not charging at all; only another card helps.
NO_CARD = "no_payment_method"
LIMIT_REACHED = "card_attempt_limit_reached"
CARD_REFUSED = "card_refused_before"
NOT_CHARGED_CODES = frozenset({NO_CARD, LIMIT_REACHED, CARD_REFUSED})

_BY_CLASS = {
    DeclineClass.AUTHENTICATION: (
        AUTHENTICATION_REQUIRED,
        "authentication_not_handled",
        "invoice_payment_intent_requires_action",
        "mobile_device_authentication_required",
        "payment_intent_authentication_failure",
        "setup_intent_authentication_failure",
    ),
    # Reason: the card networks fine merchants who retry these; only another card can help.
    DeclineClass.HARD: (
        "card_not_supported",
        "currency_not_supported",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "incorrect_address",
        "incorrect_cvc",
        "incorrect_number",
        "incorrect_pin",
        "incorrect_zip",
        "invalid_account",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "invalid_pin",
        "lost_card",
        "merchant_blacklist",
        "new_account_information_available",
        "not_permitted",
        "offline_pin_required",
        "online_or_offline_pin_required",
        "pickup_card",
        "pin_try_exceeded",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "test_mode_live_card",
        "testmode_decline",
        "transaction_not_allowed",
        *sorted(NOT_CHARGED_CODES),
    ),
    DeclineClass.SOFT: (
        "approve_with_id",
        "call_issuer",
        "card_decline_rate_limit_exceeded",
        "card_declined",
        "card_error",
        "card_velocity_exceeded",
        "do_not_honor",
        "duplicate_transaction",
        "generic_decline",
        "insufficient_funds",
        "invalid_amount",
        "issuer_not_available",
        "no_action_taken",
        "processing_error",
        "reenter_transaction",
        "service_not_allowed",
        "try_again_later",
        "withdrawal_count_limit_exceeded",
    ),
}
CLASSES = {code: decline_class for decline_class, codes in _BY_CLASS.items() for code in codes}

_HARD_ADVICE = frozenset({"do_not_try_again", "confirm_card_data"})
# The same card can pay once its owner has entered it again with corrected data.
_DATA_CODES = frozenset(
    {
        "expired_card",
        "incorrect_address",
        "incorrect_cvc",
        "incorrect_number",
        "incorrect_zip",
        "invalid_account",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "new_account_information_available",
    },
)


def classify(decline_code: str | None, advice_code: str | None) -> DeclineClass:
    """Return the class of a failed charge, which tells how it can be retried.

    Args:
        decline_code: The issuer's reason as Stripe names it; None if unknown.
        advice_code: Stripe's advice, which takes precedence over the decline code.

    Returns:
        `hard` (another card is needed), `authentication` (the customer must confirm) or `soft`
        (try later; also for unknown codes).
    """
    if advice_code in _HARD_ADVICE:
        return DeclineClass.HARD
    decline_class = CLASSES.get(decline_code or "", DeclineClass.SOFT)
    if decline_class is DeclineClass.HARD and advice_code == "try_again_later":
        return DeclineClass.SOFT
    return decline_class


def is_card_refused_for_good(decline_code: str | None, advice_code: str | None) -> bool:
    """Tell whether a card number must never be charged again, even if the card is added again.

    After a hard decline for wrong or outdated data, the card can pay once it is entered again.
    """
    if classify(decline_code, advice_code) is not DeclineClass.HARD:
        return False
    if decline_code in NOT_CHARGED_CODES:
        return False
    return advice_code != "confirm_card_data" and decline_code not in _DATA_CODES
