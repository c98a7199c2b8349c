"""Cards: what each answers when it is charged, and how Stripe words a decline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

OK = "ok"
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
        has_decline_code=False,
    ),
    "fraudulent": Decline(_NO, NEVER, network_decline_code="59"),
    "generic_decline": Decline(_NO),
    "incorrect_cvc": Decline(
        "Your card's security code is incorrect.",
        CHECK,
        code="incorrect_cvc",
        network_decline_code="N7",
        has_decline_code=False,
    ),
    "incorrect_number": Decline(
        "Your card number is incorrect.",
        CHECK,
        code="incorrect_number",
        network_decline_code="14",
        has_decline_code=False,
    ),
    "insufficient_funds": Decline(
        "Your card has insufficient funds.", LATER, network_decline_code="51"
    ),
    "invalid_account": Decline(_NO, CHECK, network_decline_code="14"),
    "issuer_not_available": Decline(_NO, LATER, network_decline_code="91"),
    "lost_card": Decline(_NO, NEVER, network_decline_code="41", network_advice_code="03"),
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
    "service_not_allowed": Decline(_NO),
    "stolen_card": Decline(_NO, NEVER, network_decline_code="43", network_advice_code="03"),
    "stop_payment_order": Decline(_NO, NEVER, network_decline_code="R0"),
    "transaction_not_allowed": Decline(_NO, NEVER, network_decline_code="57"),
    "try_again_later": Decline(_NO, LATER, network_advice_code="02"),
    "withdrawal_count_limit_exceeded": Decline(_NO, LATER, network_decline_code="65"),
}
"""Every decline a card can give, by the name that scripts use."""


@dataclass(frozen=True)
class TestCard:
    """A card that Stripe's documentation names, by `pm_card_...`."""

    brand: str = "visa"
    last4: str = "4242"
    script: tuple[str, ...] = (OK,)
    is_attachable: bool = True


def _declining(outcome: str, last4: str) -> TestCard:
    return TestCard(last4=last4, script=(outcome,), is_attachable=False)


_DECLINED = {
    "": _declining("generic_decline", "0002"),
    "InsufficientFunds": _declining("insufficient_funds", "9995"),
    "LostCard": _declining("lost_card", "9987"),
    "StolenCard": _declining("stolen_card", "9979"),
    "ExpiredCard": _declining("expired_card", "0069"),
    "IncorrectCvc": _declining("incorrect_cvc", "0127"),
    "ProcessingError": _declining("processing_error", "0119"),
    "Fraudulent": _declining("fraudulent", "0019"),
    "VelocityLimitExceeded": _declining("card_velocity_exceeded", "6975"),
}
TEST_CARDS: dict[str, TestCard] = {
    "pm_card_visa": TestCard(),
    "pm_card_visa_debit": TestCard(last4="5556"),
    "pm_card_mastercard": TestCard("mastercard", "4444"),
    "pm_card_mastercard_debit": TestCard("mastercard", "8210"),
    "pm_card_amex": TestCard("amex", "0005"),
    "pm_card_discover": TestCard("discover", "1117"),
    "pm_card_diners": TestCard("diners", "0004"),
    "pm_card_jcb": TestCard("jcb", "0505"),
    "pm_card_unionpay": TestCard("unionpay", "0005"),
    "pm_card_chargeCustomerFail": TestCard(last4="0341", script=("generic_decline",)),
    "pm_card_authenticationRequired": TestCard(last4="3184", script=(AUTHENTICATION_REQUIRED,)),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": TestCard(
        last4="3178", script=("insufficient_funds",)
    ),
    **{f"pm_card_chargeDeclined{name}": card for name, card in _DECLINED.items()},
    **{f"pm_card_visa_chargeDeclined{name}": card for name, card in _DECLINED.items()},
}
"""Cards by Stripe's test names."""


def next_answer(method: dict[str, Any]) -> str:
    """Return what the card says to the next charge, and move its script on in `method`."""
    script: Sequence[str] = method["_script"]
    used: int = method["_used"]
    method["_used"] = used + 1
    return script[min(used, len(script) - 1)]


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
        "type": "card_error",
    }
