"""Cards: Stripe's test cards, by name, token and number, and what each does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OK = "ok"
ALWAYS, UNLESS_SET_UP, ON_SESSION, IF_ASKED = "always", "unless_set_up", "on_session", "if_asked"
"""When a card asks for 3-D Secure; without a word it never does."""
DISPUTED, NOT_RECEIVED, INQUIRED = "disputed", "not_received", "inquired"
REFUND_FAILS, REFUND_WAITS, AT_ONCE = "refund_fails", "refund_waits", "available_at_once"
"""What comes of a successful charge."""
_COUNTRIES = {
    "ae": "4000007840000001", "ar": "4000000320000021", "at": "4000000400000008",
    "au": "4000000360000006", "be": "4000000560000004", "bg": "4000001000000000",
    "br": "4000000760000002", "by": "4000001120000005", "ca": "4000001240000000",
    "ch": "4000007560000009", "cl": "4000001520000001", "cn": "4000001560000002",
    "co": "4000001700000003", "cr": "4000001880000005", "cy": "4000001960000008",
    "cz": "4000002030000002", "de": "4000002760000016", "dk": "4000002080000001",
    "ec": "4000002180000000", "ee": "4000002330000009", "es": "4000007240000007",
    "fi": "4000002460000001", "fr": "4000002500000003", "gb": "4000008260000000",
    "gi": "4000002920000005", "gr": "4000003000000030", "hk": "4000003440000004",
    "hr": "4000001910000009", "hu": "4000003480000005", "ie": "4000003720000005",
    "in": "4000003560000008", "it": "4000003800000008", "jp": "4000003920000003",
    "li": "4000004380000004", "lt": "4000004400000000", "lu": "4000004420000006",
    "lv": "4000004280000005", "mt": "4000004700000007", "mx": "4000004840008001",
    "my": "4000004580000002", "nl": "4000005280000002", "no": "4000005780000007",
    "nz": "4000005540000008", "pa": "4000005910000000", "pe": "4000006040000068",
    "pl": "4000006160000005", "pt": "4000006200000007", "py": "4000006000000066",
    "ro": "4000006420000001", "sa": "4000006820000007", "se": "4000007520000008",
    "sg": "4000007020000003", "si": "4000007050000006", "sk": "4000007030000001",
    "th": "4000007640000003", "tw": "4000001580000008", "uy": "4000008580000003",
}  # fmt: skip


@dataclass(frozen=True)
class TestCard:
    """A card and its ways.

    Attributes:
        number: The whole number, or only its end for a card that has no other.
        script: What it says to each charge, the last word repeating.
        challenge: When it asks for 3-D Secure before it says anything.
        aftermath: What comes of a successful charge.
        risk: Radar's opinion; `blocked` is the highest, and then no network is asked.
        failed_checks: Which of its checks fail.
    """

    number: str = "4242424242424242"
    brand: str = "visa"
    script: tuple[str, ...] = (OK,)
    is_attachable: bool = True
    funding: str = "credit"
    country: str = "US"
    challenge: str | None = None
    aftermath: str | None = None
    risk: str = "normal"
    failed_checks: tuple[str, ...] = ()


def _declining(outcome: str, number: str, **ways: Any) -> TestCard:
    return TestCard(number, script=(outcome,), is_attachable=False, **ways)


def _mastercard(number: str, funding: str = "credit") -> TestCard:
    return TestCard(number, "mastercard", funding=funding)


_DECLINED = {
    "": _declining("generic_decline", "4000000000000002"),
    "InsufficientFunds": _declining("insufficient_funds", "4000000000009995"),
    "LostCard": _declining("lost_card", "4000000000009987"),
    "StolenCard": _declining("stolen_card", "4000000000009979"),
    "ExpiredCard": _declining("expired_card", "4000000000000069"),
    "IncorrectCvc": _declining("incorrect_cvc", "4000000000000127"),
    "ProcessingError": _declining("processing_error", "4000000000000119"),
    "Fraudulent": _declining("fraudulent", "4100000000000019", risk="blocked"),
    "VelocityLimitExceeded": _declining("card_velocity_exceeded", "4000000000006975"),
}
_LINE1, _ZIP, _CVC = "address_line1_check", "address_postal_code_check", "cvc_check"
_NAMED: dict[str, TestCard] = {
    "visa": TestCard(),
    "visa_debit": TestCard("4000056655665556", funding="debit"),
    "mastercard": _mastercard("5555555555554444"),
    "mastercard_debit": _mastercard("5200828282828210", "debit"),
    "mastercard_prepaid": _mastercard("5105105105105100", "prepaid"),
    "amex": TestCard("378282246310005", "amex"),
    "discover": TestCard("6011111111111117", "discover"),
    "diners": TestCard("3056930009020004", "diners"),
    "jcb": TestCard("3566002020360505", "jcb"),
    "unionpay": TestCard("6200000000000005", "unionpay"),
    "us": TestCard(),
    "chargeCustomerFail": TestCard("4000000000000341", script=("generic_decline",)),
    **{f"chargeDeclined{name}": card for name, card in _DECLINED.items()},
    **{f"visa_chargeDeclined{name}": card for name, card in _DECLINED.items()},
    "radarBlock": _DECLINED["Fraudulent"],
    "riskLevelHighest": TestCard("4000000000004954", script=("fraudulent",), risk="blocked"),
    "riskLevelElevated": TestCard("4000000000009235", risk="elevated"),
    "cvcCheckFail": TestCard("4000000000000101", failed_checks=(_CVC,)),
    "avsFail": TestCard("4000000000000010", failed_checks=(_LINE1, _ZIP)),
    "avsLine1Fail": TestCard("4000000000000028", failed_checks=(_LINE1,)),
    "avsZipFail": TestCard("4000000000000036", failed_checks=(_ZIP,)),
    "bypassPending": TestCard("4000000000000077", aftermath=AT_ONCE),
    "bypassPendingInternational": TestCard("4000003720000278", country="IE", aftermath=AT_ONCE),
    "createDispute": TestCard("4000000000000259", aftermath=DISPUTED),
    "createDisputeProductNotReceived": TestCard("4000000000002685", aftermath=NOT_RECEIVED),
    "createDisputeInquiry": TestCard("4000000000001976", aftermath=INQUIRED),
    "pendingRefund": TestCard("4000000000007726", aftermath=REFUND_WAITS),
    "refundFail": TestCard("4000000000005126", aftermath=REFUND_FAILS),
    "authenticationRequired": TestCard("4000002760003184", country="DE", challenge=ALWAYS),
    "authenticationRequiredOnSetup": TestCard(
        "4000002500003155", country="FR", challenge=UNLESS_SET_UP
    ),
    "authenticationRequiredSetupForOffSession": TestCard(
        "4000003800000446", country="IT", challenge=ON_SESSION
    ),
    "authenticationRequiredChargeDeclinedInsufficientFunds": TestCard(
        "4000008260003178", script=("insufficient_funds",), country="GB", challenge=UNLESS_SET_UP
    ),
    "threeDSecureRequired": TestCard("4000000000003063", challenge=ALWAYS),
    "threeDSecure2Required": TestCard("4000000000003220", challenge=ALWAYS),
    "threeDSecureRequiredChargeDeclined": TestCard(
        "4000008400001629", script=("generic_decline",), challenge=ALWAYS
    ),
    "threeDSecureRequiredProcessingError": TestCard(
        "4000008400001280", script=("generic_decline",)
    ),
    "threeDSecureOptional": TestCard("4000000000003055", challenge=IF_ASKED),
    **{code: TestCard(number, country=code.upper()) for code, number in _COUNTRIES.items()},
}
_OTHERS = (  # numbers that have no name
    TestCard("2223003122003222", "mastercard"),
    TestCard("371449635398431", "amex"),
    TestCard("36227206271667", "diners"),
)
TEST_CARDS: Mapping[str, TestCard] = {
    f"{prefix}_{name}": card for prefix in ("pm_card", "tok") for name, card in _NAMED.items()
}
"""Cards by Stripe's names of them: `pm_card_visa`, and as tokens `tok_visa`."""
BY_NUMBER: Mapping[str, TestCard] = {card.number: card for card in (*_NAMED.values(), *_OTHERS)}


def next_answer(method: dict[str, Any]) -> str:
    """Return what the card says to the next charge, and move its script on in `method`."""
    script: list[str] = method["_script"]
    used: int = method["_used"]
    method["_used"] = used + 1
    return script[min(used, len(script) - 1)]


def is_challenged(method: dict[str, Any], *, is_off_session: bool, is_asked: bool = False) -> bool:
    """Say whether the card wants 3-D Secure before a charge.

    Args:
        method: The card.
        is_off_session: Whether the customer is away.
        is_asked: Whether the seller asked for it, where it is optional.

    Returns:
        The answer; scripts ask on their own, by `authentication_required`.
    """
    challenge = method["_challenge"]
    if challenge == UNLESS_SET_UP:
        return not (is_off_session and method["_is_set_up"])
    if challenge == ON_SESSION:
        return not is_off_session
    return challenge == ALWAYS or (challenge == IF_ASKED and is_asked)


def is_luhn(number: str) -> bool:
    """Say whether a card number's check digit fits."""
    if not number.isdigit():
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0
