"""What calls meant in API versions before the one that objects have here."""

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import API_VERSION

_INTENTS = ("/v1/payment_intents", "/v1/setup_intents")
_ELDER, _PRESENT = "payment_method_types", "allowed_payment_method_types"
_HEADER = "stripe-version"


def modern(
    method: str, path: str, params: dict[str, Any], headers: Mapping[str, str]
) -> dict[str, Any]:
    """Return a call's parameters as the present version would have them.

    Args:
        method: The request's.
        path: The request's.
        params: As they were sent.
        headers: Who asks for the present version gets nothing translated. Who names none has his
            account's own, which is an older one: Stripe's CLI asks so.

    Returns:
        The parameters, renamed ones by their present names, and former defaults written out: an
        intent took cards unless it was told otherwise.
    """
    if headers.get(_HEADER) == API_VERSION or not path.startswith(_INTENTS):
        return params
    present = {_PRESENT if name == _ELDER else name: value for name, value in params.items()}
    if method == "POST" and path in _INTENTS and "automatic_payment_methods" not in present:
        present.setdefault(_PRESENT, {"0": "card"})
    return present
