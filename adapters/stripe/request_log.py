"""Writes one log line for each request to Stripe."""

import re
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import stripe
import structlog

log = structlog.get_logger(__name__)

# Ids of Stripe, such as `sub_1Abc` or `cs_test_1Abc`, have a digit; names of routes have none.
_ID = re.compile(r"[a-z]+_(?:test_|live_)?\w*\d\w*")


class LoggingHttpClient(stripe.HTTPXClient):
    """HTTP client that logs each request: no parameters, and no bodies."""

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: Any = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request, and log what was asked for and how it was answered."""
        started = monotonic()
        facts: dict[str, object] = {"error": "canceled"}
        try:
            reply = await super().request_async(method, url, headers, post_data)
        except stripe.StripeError as error:
            facts = {"error": type(error.__cause__ or error).__name__}
            raise
        else:
            _, status, reply_headers = reply
            facts = {"status": status, "stripe_request_id": reply_headers.get("request-id")}
            return reply
        finally:
            operation, object_id = describe_request(method, url)
            milliseconds = round((monotonic() - started) * 1_000, 1)
            log.info(
                "stripe_request",
                operation=operation,
                stripe_object_id=object_id,
                duration_ms=milliseconds,
                **facts,
            )


def describe_request(method: str, url: str) -> tuple[str, str | None]:
    """Return a request's operation, with `{id}` for ids, and the first id in its path."""
    parts = urlsplit(url).path.split("/")
    ids = [part for part in parts if _ID.fullmatch(part)]
    route = "/".join("{id}" if part in ids else part for part in parts)
    return f"{method.upper()} {route}", ids[0] if ids else None
