"""The Stripe client, and the one place where Stripe's errors become ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

from domain.errors import (
    ApplicationError,
    CardDeclinedError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
)

CALL_TIMEOUT_SECONDS = 30.0


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
def our_errors() -> Iterator[None]:
    """Turn Stripe's errors into ours.

    Raises:
        CardDeclinedError: The issuer refused; `details` has the codes.
        NotFoundError: Stripe does not know the object.
        ProviderRejectedError: Stripe refused the request for good.
        ProviderUnavailableError: Trying again can help; the outcome may be unknown.
    """
    try:
        yield
    except stripe.StripeError as error:
        raise _translated(error) from error


def _translated(error: stripe.StripeError) -> ApplicationError:
    details: dict[str, Any] = {"stripe_code": error.code, "stripe_request_id": error.request_id}
    message = str(error.user_message or error)
    if isinstance(error, stripe.CardError):
        codes = error.error
        details |= {
            "decline_code": (codes and codes.decline_code) or error.code,
            "advice_code": codes.advice_code if codes else None,
        }
        return CardDeclinedError(message, details=details)
    if _is_passing(error):
        details["is_replayed"] = (error.headers or {}).get("idempotent-replayed") == "true"
        return ProviderUnavailableError(message, details=details)
    if error.http_status == 404 or error.code == "resource_missing":
        return NotFoundError(message, "stripe_resource_missing", details)
    return ProviderRejectedError(message, details=details)


def _is_passing(error: stripe.StripeError) -> bool:
    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError):
        return True
    # Reason: 409 says that the same key is in flight; its answer comes with a later try.
    return error.http_status is None or error.http_status >= 500 or error.http_status == 409


def moment(timestamp: int) -> datetime:
    """Read Stripe's seconds since the epoch."""
    return datetime.fromtimestamp(timestamp, UTC)


def optional_moment(timestamp: int | None) -> datetime | None:
    """Read Stripe's seconds since the epoch, if there are any."""
    return None if timestamp is None else moment(timestamp)


def metadata_id(metadata: stripe.StripeObject | None, name: str) -> UUID | None:
    """Return an id of ours from an object's metadata, unless somebody spoilt it by hand."""
    value = metadata.to_dict().get(name) if metadata else None
    try:
        return UUID(value) if value else None
    except ValueError:
        return None


def object_id(reference: object) -> str | None:
    """Return the id of what Stripe shows either as an id or, expanded, as an object."""
    if reference is None or isinstance(reference, str):
        return reference
    return str(getattr(reference, "id"))  # noqa: B009 - the expanded classes share no base


class StripeHealth:
    """Whether Stripe answers."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def ping(self) -> None:
        """Ask for something small.

        Raises:
            ApplicationError: Stripe is down, or refuses our key.
        """
        with our_errors():
            await self._client.v1.balance.retrieve_async()
