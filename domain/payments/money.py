"""Currencies and the highest amount that Stripe can charge.

The currencies are those of https://docs.stripe.com/currencies, for accounts of all countries.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from domain.errors import InvalidInputError

# Highest amount, in minor units of any currency.
AMOUNT_MAX = 99_999_999

CURRENCY_CODES = (
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt",
    "bgn", "bhd", "bif", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf",
    "chf", "clp", "cny", "cop", "crc", "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb",
    "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gnf", "gtq", "gyd", "hkd", "hnl", "htg",
    "huf", "idr", "ils", "inr", "isk", "jmd", "jod", "jpy", "kes", "kgs", "khr", "kmf", "krw",
    "kwd", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mga", "mkd", "mmk",
    "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr",
    "nzd", "omr", "pab", "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub",
    "rwf", "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb",
    "tjs", "tnd", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "vnd",
    "vuv", "wst", "xaf", "xcd", "xcg", "xof", "xpf", "yer", "zar", "zmw",
)  # fmt: skip
_KNOWN_CODES = frozenset(CURRENCY_CODES)
# Digits after the point, where they are not two: https://docs.stripe.com/currencies#zero-decimal
_NO_DIGITS = (
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
)  # fmt: skip
_THREE_DIGITS = ("bhd", "jod", "kwd", "omr", "tnd")
# What amounts are multiples of, where it is not one minor unit: Stripe wants a last digit of 0
# where there are three, and takes these two with two digits, which are always 00:
# https://docs.stripe.com/currencies#special-cases
_STEPS = {**dict.fromkeys(_THREE_DIGITS, 10), "isk": 100, "ugx": 100}
STEPS = (
    "Amount in minor units; a multiple of 10 in bhd, jod, kwd, omr and tnd, and of 100 in isk and "
    "ugx."
)
_DIGITS = {**dict.fromkeys(_NO_DIGITS, 0), **dict.fromkeys(_THREE_DIGITS, 3)}


def amount_text(amount_cents: int, currency_code: str) -> str:
    """Return an amount in its currency for people, such as `29.00 USD`.

    Args:
        amount_cents: Amount in minor units, as Stripe counts them.
        currency_code: ISO 4217, lower case.
    """
    return f"{major_units(amount_cents, currency_code)} {currency_code.upper()}"


def major_units(amount_cents: int, currency_code: str) -> Decimal:
    """Return an amount in major units, with as many digits as its currency has.

    Args:
        amount_cents: Amount in minor units, as Stripe counts them.
        currency_code: ISO 4217, lower case.
    """
    return Decimal(amount_cents).scaleb(-_DIGITS.get(currency_code, 2))


def floor_to_step(amount_cents: int, currency_code: str) -> int:
    """Return the highest amount that Stripe can move, up to a given one."""
    return amount_cents - amount_cents % _STEPS.get(currency_code, 1)


def check_step(amount_cents: int, currency_code: str) -> None:
    """Check that Stripe can charge or refund an amount in its currency.

    Raises:
        InvalidInputError: The amount is between two steps of the currency.
    """
    step = _STEPS.get(currency_code, 1)
    if amount_cents % step:
        message = f"an amount in {currency_code} must be a multiple of {step}"
        faults = [{"field": "body.amount_cents", "message": message}]
        raise InvalidInputError(message, details={"errors": faults})


def _check_known(code: str) -> str:
    if code not in _KNOWN_CODES:
        raise ValueError("Stripe cannot charge in this currency; a valid code is, for example, usd")
    return code


# Reason: an enum would list all currencies in every error message.
CurrencyCode = Annotated[
    str,
    AfterValidator(_check_known),
    Field(json_schema_extra={"enum": list(CURRENCY_CODES)}),
]
