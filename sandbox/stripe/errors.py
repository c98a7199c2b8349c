"""Errors in Stripe's shape: `{"error": {"type", "code", "message", "param", ...}}`."""

from typing import Any


class ApiError(Exception):
    """An answer other than 200.

    Attributes:
        status: HTTP status.
        is_saved: Whether an idempotency key keeps this answer. Refusals that come before any work
            (bad parameters, bad keys, unknown routes) are not kept.
        keeps_work: Whether what was written before the error stays, as with a declined card.
        headers: What the answer has beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        is_saved: bool = True,
        keeps_work: bool = False,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_saved = is_saved
        self.keeps_work = keeps_work
        self.headers: dict[str, str] = {}
        code = fields.get("code")
        self.error = {"type": error_type, "message": message} | {
            name: value for name, value in fields.items() if value is not None
        }
        if code:
            page = str(code).replace("_", "-")
            self.error["doc_url"] = f"https://docs.stripe.com/error-codes/{page}"

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON document that Stripe's clients expect."""
        return {
            "error": self.error
            | {"request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
        }


def invalid_request(
    message: str, *, code: str | None = None, param: str | None = None, **objects: Any
) -> ApiError:
    """Return a 400 for a request that cannot be carried out; `objects` are what it was about."""
    return ApiError(400, "invalid_request_error", message, code=code, param=param, **objects)


def bad_parameter(message: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    """Return a 400 for a parameter that was refused before any work began."""
    return ApiError(400, "invalid_request_error", message, is_saved=False, code=code, param=param)


def missing(name: str, object_id: str, *, param: str = "id") -> ApiError:
    """Return Stripe's answer to an unknown id: 404 in the path, 400 in a parameter."""
    return ApiError(
        404 if param == "id" else 400,
        "invalid_request_error",
        f"No such {name}: '{object_id}'",
        code="resource_missing",
        param=param,
    )


def no_card() -> ApiError:
    """Return Stripe's refusal to charge at once where there is nothing to charge."""
    return invalid_request(
        "This customer has no attached payment source or default payment method. "
        "Please consider adding a default payment method.",
        code="resource_missing",
    )


def clock_advancing() -> ApiError:
    """Return a 429 for a change to what lives on a test clock that is on its way."""
    return ApiError(
        429,
        "invalid_request_error",
        "Test clock advancement underway - cannot perform modifications",
        is_saved=False,
        code="lock_timeout",
    )


def unknown_route(method: str, path: str) -> ApiError:
    """Return a 404 for a route that does not exist here."""
    return ApiError(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({method}: {path}). "
        "Either the URL is mistyped or this sandbox does not have the route.",
        is_saved=False,
    )


def unauthorized(message: str) -> ApiError:
    """Return a 401."""
    return ApiError(401, "invalid_request_error", message, is_saved=False)


def no_access(key: str, account_id: str) -> ApiError:
    """Return a 403 for an account that a key cannot act for."""
    return ApiError(
        403,
        "invalid_request_error",
        f"The provided key '{key[:8]}***' does not have access to account '{account_id}' (or that "
        "account does not exist). Application access may have been revoked.",
        is_saved=False,
        code="account_invalid",
    )


def card_error(failure: dict[str, Any], **objects: Any) -> ApiError:
    """Return a 402 made of an intent's `last_payment_error`; the failed attempt stays on record."""
    fields: dict[str, Any] = {
        name: failure.get(name)
        for name in (
            "advice_code",
            "charge",
            "code",
            "decline_code",
            "network_advice_code",
            "network_decline_code",
            "param",
            "payment_method",
        )
    }
    error = ApiError(402, "card_error", failure["message"], keeps_work=True)
    error.error |= {name: value for name, value in (fields | objects).items() if value is not None}
    if "doc_url" in failure:
        error.error["doc_url"] = failure["doc_url"]
    return error
