"""What a declined card means for the next try. Data, so that it can be read and argued about.

Source of the codes: Stripe's documentation on decline codes and on advice codes.
"""

from enum import StrEnum


class DeclineClass(StrEnum):
    """The three ways in which a charge can fail."""

    SOFT = "soft"
    HARD = "hard"
    AUTHENTICATION = "authentication"


AUTHENTICATION_CODES = frozenset({"authentication_required", "authentication_not_handled"})

# Reason: the networks fine merchants who try these again; only another card can help.
HARD_CODES = frozenset(
    {
        "currency_not_supported",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "incorrect_address",
        "incorrect_cvc",
        "incorrect_number",
        "incorrect_zip",
        "invalid_account",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "new_account_information_available",
        "no_payment_method",
        "pickup_card",
        "provider_rejected",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "stripe_resource_missing",
        "testmode_decline",
        "transaction_not_allowed",
    },
)

_HARD_ADVICE = frozenset({"do_not_try_again", "confirm_card_data"})


def classify(decline_code: str | None, advice_code: str | None) -> DeclineClass:
    """Tell whether a failed charge may be tried again on the same card.

    Args:
        decline_code: The issuer's reason as Stripe names it; None if unknown.
        advice_code: Stripe's advice, which goes before the reason.

    Returns:
        `hard` (another card), `authentication` (the customer must confirm) or `soft` (try later).
    """
    if advice_code in _HARD_ADVICE:
        return DeclineClass.HARD
    if decline_code in AUTHENTICATION_CODES:
        return DeclineClass.AUTHENTICATION
    if advice_code != "try_again_later" and decline_code in HARD_CODES:
        return DeclineClass.HARD
    return DeclineClass.SOFT
