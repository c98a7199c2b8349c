"""What can be charged: the least and the most, by currency."""

from sandbox.stripe.errors import ApiError, invalid_request

_MOST = 99_999_999
_LEAST = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1_500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17_500, "inr": 50, "jpy": 50,
    "mxn": 1_000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300,
    "sgd": 50, "thb": 1_000, "usd": 50,
}  # fmt: skip
_ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx",
    "vnd", "vuv", "xaf", "xof", "xpf",
}  # fmt: skip


def check(amount: int, currency: str) -> None:
    """Refuse to charge less or more than Stripe does.

    Raises:
        ApiError: If the amount is out of bounds.
    """
    least = _LEAST.get(currency, 1)
    if amount < least:
        raise _refusal("small", f"at least {_written(least, currency)}")
    if amount > _MOST:
        raise _refusal("large", f"no more than {_written(_MOST, currency)}")


def _refusal(kind: str, bound: str) -> ApiError:
    return invalid_request(f"Amount must be {bound}", code=f"amount_too_{kind}", param="amount")


def _written(amount: int, currency: str) -> str:
    shown = str(amount) if currency in _ZERO_DECIMAL else f"{amount / 100:,.2f}"
    return f"{shown} {currency}"
