"""Stripe client, and the translation of Stripe's errors into four classes.

decline   the issuer refused the charge: `CardDeclinedError`
outage    no answer, 429, 5xx, an idempotency key in use, and an API key that is wrong, expired or
          restricted: `ProviderUnavailableError`, retried for as long as the outage lasts
refusal   a 400 or 404 that the object's state explains: `ProviderRejectedError`,
          `NotFoundError`; the caller reads the state and settles the step by it
defect    any other 400 or 404, and an answer that cannot be read: the caller's step is parked
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import stripe
import structlog

from adapters.stripe.reading import code_of_failure, field
from adapters.stripe.request_log import LoggingHttpClient
from domain.errors import (
    ApplicationError,
    CardDeclinedError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from observability.metrics import STRIPE_ERRORS

log = structlog.get_logger(__name__)

CALL_TIMEOUT_SECONDS = 30.0
_OUTAGES = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    # Reason: a wrong or restricted key says nothing about a card, an invoice or a customer.
    stripe.AuthenticationError,
    stripe.PermissionError,
)
# With any status, these codes say that another request is in progress.
_BUSY_CODES = frozenset({"idempotency_key_in_use", "lock_timeout", "rate_limit"})
_KEY_REFUSED = (stripe.AuthenticationError, stripe.PermissionError)

# Type of the client that the adapters of Stripe use.
Connection = stripe.StripeClient


@asynccontextmanager
async def open_client(
    api_key: str,
    api_base: str | None = None,
) -> AsyncIterator[stripe.StripeClient]:
    """Open an async client that never retries by itself: Temporal retries.

    Args:
        api_key: Secret or restricted key.
        api_base: Address of a sandbox; None means Stripe itself.

    Yields:
        Client, of which only the `…_async` methods work.
    """
    http = LoggingHttpClient(timeout=CALL_TIMEOUT_SECONDS)
    try:
        yield stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=http,
        )
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


@contextmanager
def translate_stripe_errors() -> Iterator[None]:
    """Translate Stripe's errors into our own.

    Raises:
        CardDeclinedError: A decline; `details` has the codes.
        ProviderUnavailableError: An outage; a retry can help, the outcome may be unknown.
        NotFoundError: Stripe does not know the object.
        ProviderRejectedError: Stripe refuses the request as it is.
        UnreadableAnswerError: The answer does not have the structure that the SDK expects.
    """
    try:
        yield
    except stripe.StripeError as error:
        raise _translated(error) from error
    except (AttributeError, KeyError, TypeError) as error:
        # Reason: the SDK itself fails on a list without its entries.
        raise UnreadableAnswerError(f"Stripe's answer cannot be read: {error}") from error


def _translated(error: stripe.StripeError) -> ApplicationError:
    error_body = field(error.json_body, "error")
    details: dict[str, Any] = {
        "stripe_code": error.code or field(error_body, "code"),
        "stripe_request_id": error.request_id,
        "is_replayed": _header(error, "idempotent-replayed") == "true",
    }
    message = str(error.user_message or error)
    if isinstance(error, stripe.CardError) and error_body is not None:
        STRIPE_ERRORS.labels("decline").inc()
        return CardDeclinedError(message, details=details | _decline_of(error_body))
    if _is_outage(error):
        return _outage_error(error, details)
    STRIPE_ERRORS.labels("rejection").inc()
    details["param"] = field(error_body, "param")
    if error.http_status == 404 or details["stripe_code"] == "resource_missing":
        return NotFoundError(message, "stripe_resource_missing", details)
    return ProviderRejectedError(message, details=details)


def _decline_of(error_body: object) -> dict[str, Any]:
    return {
        "decline_code": code_of_failure(error_body),
        "advice_code": field(error_body, "advice_code"),
        "stripe_payment_intent_id": field(error_body, "payment_intent.id"),
    }


def _is_outage(error: stripe.StripeError) -> bool:
    status, error_body = error.http_status, field(error.json_body, "error")
    if isinstance(error, _OUTAGES) or status is None or error_body is None:
        # Reason: an answer without an error of Stripe comes from a proxy or gateway in between.
        return True
    # Reason: 409 means that the same key is in use, 424 that a service behind Stripe is down.
    is_busy = status in {408, 409, 424} or field(error_body, "code") in _BUSY_CODES
    return is_busy or status < 400 or status >= 500


def _outage_error(error: stripe.StripeError, details: dict[str, Any]) -> ProviderUnavailableError:
    is_key = isinstance(error, _KEY_REFUSED)
    STRIPE_ERRORS.labels("key_refused" if is_key else "outage").inc()
    if is_key:
        # Reason: no customer is told of this, so the log must tell the operator.
        log.error("stripe_key_refused", http_status=error.http_status, **details)
    message = "Stripe refuses our API key" if is_key else "Stripe cannot be reached"
    return ProviderUnavailableError(message, details=details)


def _header(error: stripe.StripeError, name: str) -> str | None:
    headers = error.headers or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


class StripeHealth:
    """Checks whether Stripe answers."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def ping(self) -> None:
        """Read the account's balance, which is a small request.

        Raises:
            ApplicationError: Stripe is down, or refuses our key.
        """
        with translate_stripe_errors():
            await self._client.v1.balance.retrieve_async()
