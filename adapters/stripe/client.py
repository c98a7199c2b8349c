"""The Stripe client, and the one place where Stripe's answers are put into their four classes.

decline   the issuer said no: `CardDeclinedError`
outage    no answer, 429, 5xx, a key in flight, and a key that is wrong, expired or restricted:
          `ProviderUnavailableError`, tried again for as long as it lasts
refusal   a 400 or 404 that the state explains: `ProviderRejectedError`, `NotFoundError`; the
          caller reads the state and settles by it
defect    any other 400 or 404, and an answer that cannot be read: the caller's step is parked
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import stripe
import structlog

from adapters.stripe.reading import code_of_failure, field
from domain.errors import (
    ApplicationError,
    CardDeclinedError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from observability import STRIPE_ERRORS

log = structlog.get_logger(__name__)

CALL_TIMEOUT_SECONDS = 30.0
_OUTAGES = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    # Reason: a wrong or restricted key says nothing about a card, an invoice or a customer.
    stripe.AuthenticationError,
    stripe.PermissionError,
)
# Whatever status they come with, these say that something else is under way.
_BUSY_CODES = frozenset({"idempotency_key_in_use", "lock_timeout", "rate_limit"})
_KEY_REFUSED = (stripe.AuthenticationError, stripe.PermissionError)

# What the adapters of Stripe are made with.
Connection = stripe.StripeClient


@asynccontextmanager
async def open_client(
    api_key: str,
    api_base: str | None = None,
) -> AsyncIterator[stripe.StripeClient]:
    """Open an async client that never retries by itself: Temporal retries.

    Args:
        api_key: Secret or restricted key.
        api_base: Where a stand-in listens; None for Stripe itself.

    Yields:
        A client; only its `…_async` methods work.
    """
    http = stripe.HTTPXClient(timeout=CALL_TIMEOUT_SECONDS)
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
    """Turn Stripe's errors into ours.

    Raises:
        CardDeclinedError: A decline; `details` has the codes.
        ProviderUnavailableError: An outage; trying again can help, the outcome may be unknown.
        NotFoundError: Stripe does not know the object.
        ProviderRejectedError: Stripe refuses the request as it is.
        UnreadableAnswerError: The answer has not even the shape that the SDK goes by.
    """
    try:
        yield
    except stripe.StripeError as error:
        raise _translated(error) from error
    except (AttributeError, KeyError, TypeError) as error:
        # Reason: the SDK itself fails at a list that lacks its entries.
        raise UnreadableAnswerError(f"Stripe's answer cannot be read: {error}") from error


def _translated(error: stripe.StripeError) -> ApplicationError:
    said = field(error.json_body, "error")
    details: dict[str, Any] = {
        "stripe_code": error.code or field(said, "code"),
        "stripe_request_id": error.request_id,
        "is_replayed": _header(error, "idempotent-replayed") == "true",
    }
    message = str(error.user_message or error)
    if isinstance(error, stripe.CardError) and said is not None:
        STRIPE_ERRORS.labels("decline").inc()
        return CardDeclinedError(message, details=details | _decline_of(said))
    if _is_outage(error):
        return _outage(error, details)
    STRIPE_ERRORS.labels("rejection").inc()
    details["param"] = field(said, "param")
    if error.http_status == 404 or details["stripe_code"] == "resource_missing":
        return NotFoundError(message, "stripe_resource_missing", details)
    return ProviderRejectedError(message, details=details)


def _decline_of(said: object) -> dict[str, Any]:
    return {
        "decline_code": code_of_failure(said),
        "advice_code": field(said, "advice_code"),
        "stripe_payment_intent_id": field(said, "payment_intent.id"),
    }


def _is_outage(error: stripe.StripeError) -> bool:
    status, said = error.http_status, field(error.json_body, "error")
    if isinstance(error, _OUTAGES) or status is None or said is None:
        # Reason: without an error of Stripe's it is something between us that has answered.
        return True
    # Reason: 409 says that the same key is in flight, 424 that somebody behind Stripe is down.
    is_busy = status in {408, 409, 424} or field(said, "code") in _BUSY_CODES
    return is_busy or status < 400 or status >= 500


def _outage(error: stripe.StripeError, details: dict[str, Any]) -> ProviderUnavailableError:
    is_key = isinstance(error, _KEY_REFUSED)
    STRIPE_ERRORS.labels("key_refused" if is_key else "outage").inc()
    if is_key:
        # Reason: no customer hears of it, so the log must.
        log.error("stripe_key_refused", http_status=error.http_status, **details)
    message = "Stripe refuses our API key" if is_key else "Stripe cannot be reached just now"
    return ProviderUnavailableError(message, details=details)


def _header(error: stripe.StripeError, name: str) -> str | None:
    headers = error.headers or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


class StripeHealth:
    """Whether Stripe answers."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def ping(self) -> None:
        """Ask for something small.

        Raises:
            ApplicationError: Stripe is down, or refuses our key.
        """
        with translate_stripe_errors():
            await self._client.v1.balance.retrieve_async()
