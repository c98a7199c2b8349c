"""What can be charged: in which currencies, and how little or much."""

from fractions import Fraction

from sandbox.stripe import currencies
from sandbox.stripe.errors import ApiError, bad_parameter, invalid_request

_MOST = 99_999_999
_CURRENCIES = {
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
}  # fmt: skip


def check(amount: int, currency: str) -> None:
    """Refuse to charge less or more than Stripe does, or in what is no money to it.

    Raises:
        ApiError: If the currency is unknown, or the amount out of bounds or not round.
    """
    check_currency(currency)
    step = currencies.step(currency)
    if amount % step:
        raise bad_parameter(
            f"Invalid amount: amounts in {currency} are multiples of {step}", param="amount"
        )
    least = currencies.least_charge(currency)
    if amount < least:
        raise _refusal("small", "at least", least, currency)
    if amount > _MOST:
        raise _refusal("large", "no more than", _MOST, currency)


def check_currency(currency: str) -> None:
    """Refuse what is no money.

    Raises:
        ApiError: If it is unknown.
    """
    if currency not in _CURRENCIES:
        known = ", ".join(sorted(_CURRENCIES))
        raise bad_parameter(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {known}",
            param="currency",
        )


def _refusal(kind: str, bound: str, amount: int, currency: str) -> ApiError:
    worded = currencies.worded(Fraction(amount), currency)
    return invalid_request(
        f"Amount must be {bound} {worded}", code=f"amount_too_{kind}", param="amount"
    )
