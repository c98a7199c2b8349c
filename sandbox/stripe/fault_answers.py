"""What a fault makes of an answer."""

from typing import Any

import orjson

from sandbox.stripe import limits
from sandbox.stripe.errors import ApiError
from sandbox.stripe.faults import ApiFault

_INVALID = "invalid_request_error"
_TYPES = {401: _INVALID, 402: "card_error", 403: _INVALID, 409: "idempotency_error"}
_CODES = {402: "card_declined", 404: "resource_missing", 409: "idempotency_key_in_use"}
_MESSAGES = {
    401: "Invalid API Key provided: sk_test_***.",
    402: "Your card was declined.",
    403: "The provided key does not have the required permissions for this endpoint.",
    404: "No such object.",
    409: "Another request with this Idempotency-Key is in progress.",
}
_UNKNOWN = "An unknown error occurred on our side. We have been told of it."


def fault_error(status: int, fault: ApiFault | None = None) -> ApiError:
    """Return the error that a fault answers: Stripe's fields for this status, or the fault's."""
    given = fault.error.model_dump(exclude_none=True) if fault else {}
    if fault and fault.code:
        given.setdefault("code", fault.code)
    if status == 429:
        return limits.exceeded(given.get("code", "rate_limit"))
    kind = given.pop("type", _TYPES.get(status, _INVALID if status < 500 else "api_error"))
    message = given.pop("message", _MESSAGES.get(status, _UNKNOWN))
    fields = ({"code": _CODES[status]} if status in _CODES else {}) | given
    return ApiError(status, kind, message, is_saved=bool(fault and fault.saved), **fields)


def sent_body(fault: ApiFault | None, body: bytes) -> bytes:
    """Return what is sent in the place of an answer."""
    if fault is None:
        return body
    if fault.body is not None:
        return fault.body.encode()
    return orjson.dumps(_without_nulls(orjson.loads(body))) if fault.omit_null else body


def is_as_documented(fault: ApiFault | None) -> bool:
    """Say whether an answer can be held against the SDK's types."""
    return fault is None or (fault.body is None and not fault.omit_null)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
