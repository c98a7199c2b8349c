"""Sends one request to the API of a running stack, as its administrator."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from commands.resources import check_access, reason_of
from commands.settings import CommandError

PREFIX = "/api/v1"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TIMEOUT_SECONDS = 30.0


class RequestError(CommandError):
    """The request cannot be sent, or the API cannot be reached."""


def call_api(
    method: str,
    path: str,
    body: str | None,
    facts: Mapping[str, Any],
) -> tuple[int, str]:
    """Send a request and return its answer.

    Args:
        method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
        path: Path below `/api/v1`, with its query.
        body: JSON; None sends no body.
        facts: What the `stack.json` of the running stack says.

    Returns:
        The status code and the body, indented if it is JSON.

    Raises:
        RequestError: The method is unknown, the body is no JSON, or the API cannot be reached.
        ResourceError: The address or the key cannot be one.
    """
    if method.upper() not in METHODS:
        raise RequestError(f"{method} is none of {', '.join(METHODS)}")
    address = check_access(facts["api"], facts["admin_api_key"])
    headers = {"X-API-Key": facts["admin_api_key"]}
    if method.upper() == "POST":
        headers["Idempotency-Key"] = uuid4().hex
    try:
        document = json.loads(body) if body is not None else None
    except ValueError as error:
        raise RequestError(f"the body is no JSON: {error}") from error
    path = path.removeprefix(PREFIX)  # Reason: people paste whole paths, as from the docs.
    url = f"{address}{PREFIX}/{path.lstrip('/')}"
    try:
        reply = httpx.request(
            method,
            url,
            json=document,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
        )
    except httpx.HTTPError as error:
        raise RequestError(f"{url} cannot be reached: {reason_of(error)}") from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise RequestError(f"the request cannot be sent: {error}") from error
    return reply.status_code, _indented(reply.text)


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
