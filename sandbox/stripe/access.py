"""Who asks, and what that key may do: secret keys all, publishable ones what a browser needs."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects.system import account
from sandbox.stripe.session import Session

_TEST_KEY = re.compile(r"(sk|rk|pk)_test_\w+")
_INTENTS = {"payment_intents": "payment_intent", "setup_intents": "setup_intent"}
_OPEN = {
    ("POST", "/v1/payment_methods"),
    *(("GET", f"/v1/{name}/{{id}}") for name in _INTENTS),
    *(("POST", f"/v1/{name}/{{id}}/confirm") for name in _INTENTS),
}
"""The calls that a publishable key can make; those on an intent need its client secret."""
_NAMES = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}
_BOTH = (
    "id", "object", "allowed_payment_method_types", "automatic_payment_methods",
    "cancellation_reason", "client_secret", "created", "description", "livemode", "next_action",
    "payment_method", "payment_method_types", "status",
)  # fmt: skip
_SHOWN = {
    "payment_intent": {
        *_BOTH, "amount", "canceled_at", "capture_method", "confirmation_method", "currency",
        "last_payment_error", "processing", "receipt_email", "setup_future_usage", "shipping",
    },
    "setup_intent": {*_BOTH, "last_setup_error", "usage"},
}  # fmt: skip
"""What of an intent a publishable key can see."""


@dataclass(frozen=True)
class Key:
    """An API key."""

    is_publishable: bool

    def check(self, method: str, pattern: str) -> None:
        """Refuse a call that is not for this key.

        Raises:
            ApiError: If it needs a secret key.
        """
        if self.is_publishable and (method, pattern) not in _OPEN:
            raise ApiError(
                403,
                "invalid_request_error",
                "This API call cannot be made with a publishable API key. Please use a secret "
                "API key. You can find a list of your API keys at "
                "https://dashboard.stripe.com/account/apikeys.",
                is_saved=False,
                code="secret_key_required",
            )

    def check_secret(
        self, session: Session, pattern: str, ids: list[str], params: Mapping[str, Any]
    ) -> None:
        """Refuse a call on an intent that does not show its client secret.

        Raises:
            ApiError: If it is missing although the key is publishable, or another one.
        """
        kind = _INTENTS.get(pattern.split("/")[2])
        given = params.get("client_secret")
        if kind is None or (given is None and not self.is_publishable):
            return
        if given is None:
            raise errors.bad_parameter(
                "Missing required param: client_secret.",
                code="parameter_missing",
                param="client_secret",
            )
        if session.get(kind, ids[0])["client_secret"] != given:
            raise errors.bad_parameter(
                "The client_secret provided does not match the client_secret associated with "
                f"the {_NAMES[kind]}.",
                code=f"{kind}_invalid_parameter",
                param="client_secret",
            )

    def view(self, body: Any) -> Any:
        """Return what this key can see of an answer, or of an error with an intent in it."""
        if not self.is_publishable or not isinstance(body, dict):
            return body
        if "error" in body:
            error = {name: self.view(value) for name, value in body["error"].items()}
            return {"error": error}
        names = _SHOWN.get(str(body.get("object")))
        return {name: body[name] for name in body if name in names} if names else body


def key_of(headers: Mapping[str, str]) -> Key:
    """Return the key of a request.

    Raises:
        ApiError: If there is none, if it is no test key, or if it has no access to the account
            that is asked for.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not scheme:
        raise errors.unauthorized(
            "You did not provide an API key. Send it as `Authorization: Bearer YOUR_SECRET_KEY`."
        )
    key = given.strip()
    if scheme.lower() == "basic":
        key = _of_basic(key)
    elif scheme.lower() != "bearer":
        key = ""
    if not _TEST_KEY.fullmatch(key):
        raise errors.unauthorized(
            f"Invalid API key provided: {key[:8]}***. The sandbox takes any sk_test_, rk_test_ or "
            "pk_test_."
        )
    if "stripe-account" in headers:
        account.check(headers["stripe-account"], key)
    return Key(is_publishable=key.startswith("pk_"))


def _of_basic(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[0]
    except ValueError:
        return ""
