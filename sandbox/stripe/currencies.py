"""What differs between currencies: decimals, the smallest step of an amount, the least charge."""

from fractions import Fraction

_ZERO_DECIMAL = frozenset(
    (
        "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
        "xof", "xpf",
    )
)  # fmt: skip
_THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
_WHOLE_ONLY = frozenset(("isk", "ugx"))
_LEAST: dict[str, int] = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1_500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17_500, "inr": 50, "jpy": 50, "mxn": 1_000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1_000, "usd": 50,
}  # fmt: skip


def step(currency: str) -> int:
    """Return what amounts are multiples of.

    Amounts of three-decimal currencies end in 0, and those of the whole-only ones in 00.
    """
    if currency in _THREE_DECIMAL:
        return 10
    return 100 if currency in _WHOLE_ONLY else 1


def rounded(amount: Fraction, currency: str) -> int:
    """Return an amount on its currency's next step, halves away from zero."""
    size = step(currency)
    steps = (abs(amount) / size + Fraction(1, 2)) // 1
    return int(steps) * size * (-1 if amount < 0 else 1)


def least_charge(currency: str) -> int:
    """Return the smallest amount that can be charged."""
    return _LEAST.get(currency, 0)


def worded(amount: Fraction, currency: str) -> str:
    """Return an amount for people, such as `20.00 USD`."""
    decimals = 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2
    return f"{float(amount) / 10**decimals:.{decimals}f} {currency.upper()}"
