"""Currencies and the highest amount that Stripe can charge.

The currencies are those of https://docs.stripe.com/currencies, for accounts of all countries.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

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
_DIGITS = {**dict.fromkeys(_NO_DIGITS, 0), **dict.fromkeys(_THREE_DIGITS, 3)}


def amount_text(amount_cents: int, currency_code: str) -> str:
    """Return an amount in its currency for people, such as `29.00 USD`.

    Args:
        amount_cents: Amount in minor units, as Stripe counts them.
        currency_code: ISO 4217, lower case.
    """
    digits = _DIGITS.get(currency_code, 2)
    return f"{Decimal(amount_cents).scaleb(-digits):.{digits}f} {currency_code.upper()}"


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
