"""What parameters were called in API versions before the one that objects have here."""

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import API_VERSION

_ELDER_NAMES = (
    ("/v1/payment_intents", "payment_method_types", "allowed_payment_method_types"),
    ("/v1/setup_intents", "payment_method_types", "allowed_payment_method_types"),
)
VERSION_HEADER = "stripe-version"


def modern(path: str, params: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters by their present names.

    Args:
        path: The request's.
        params: As they were sent.
        headers: Who asks for the present version gets nothing translated. Who names none has his
            account's own, which is an older one: Stripe's CLI asks so.

    Returns:
        The same parameters, the renamed ones under their present names.
    """
    if headers.get(VERSION_HEADER) == API_VERSION:
        return params
    names = {old: new for start, old, new in _ELDER_NAMES if path.startswith(start)}
    return {names.get(name, name): value for name, value in params.items()}
