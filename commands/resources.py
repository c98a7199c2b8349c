"""Finds the resource of the API that an id belongs to."""

from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from commands.settings import CommandError
from domain.ids import (
    agent_run_workflow_id,
    ingest_workflow_id,
    payment_retry_id,
    payment_retry_workflow_id,
    payment_workflow_id,
    subscription_workflow_id,
)

TIMEOUT_SECONDS = 10.0
INVOICE_PREFIX = "in_"


class Kind(NamedTuple):
    """A kind of resource that has an id and a workflow.

    Args:
        name: Name in messages.
        path: Collection of the API.
        status: Field with the resource's status.
        prefix: Beginning of the workflow id.
    """

    name: str
    path: str
    status: str
    prefix: str


SUBSCRIPTION = Kind(
    "subscription", "subscriptions", "subscription_status", subscription_workflow_id("")
)
AGENT_RUN = Kind("agent run", "agent-runs", "run_status", agent_run_workflow_id(""))
PAYMENT_RETRY = Kind(
    "payment retry", "payment-retries", "retry_status", payment_retry_workflow_id("")
)
PAYMENT = Kind("payment", "payments", "payment_status", payment_workflow_id(""))
DOCUMENT = Kind("document", "documents", "document_status", ingest_workflow_id(""))
# Reason: `payment-` is also the beginning of a payment retry's workflow id.
KINDS = (SUBSCRIPTION, AGENT_RUN, PAYMENT_RETRY, PAYMENT, DOCUMENT)


class Resource(NamedTuple):
    """A resource as the API shows it."""

    kind: Kind
    key: str
    fields: dict[str, Any]

    @property
    def status(self) -> str:
        """Return the resource's status."""
        return str(self.fields[self.kind.status])


class ResourceError(CommandError):
    """The resource cannot be read; the message is the reason, in one line."""


class NoConnectionError(ResourceError):
    """The API does not answer now."""


def check_access(api: str, api_key: str) -> str:
    """Check the address of an API and a key, before anything is sent.

    Returns:
        The address, without a slash at its end.

    Raises:
        ResourceError: The address or the key cannot be one.
    """
    shown = " ".join(api.split())
    try:
        parts = urlsplit(api)
        is_address = (
            parts.scheme in {"http", "https"}
            and parts.port != 0
            and bool(httpx.URL(api).host)
            and api.isprintable()
            and " " not in api
        )
    except (ValueError, httpx.InvalidURL) as error:
        raise ResourceError(f"{shown} is not an address of the API: {error}") from error
    if not is_address:
        raise ResourceError(f"{shown} is not an address of the API; http://127.0.0.1:8000 is one")
    if not (api_key.isascii() and api_key.isprintable()):
        raise ResourceError("the API key is not one: it has characters that no key has")
    return api.rstrip("/")


def reason_of(error: Exception) -> str:
    """Return why a server cannot be reached."""
    # Reason: the text of a timeout is mostly empty.
    is_late = isinstance(error, (httpx.TimeoutException, TimeoutError))
    return "timed out" if is_late else str(error) or type(error).__name__


class ResourceReader:
    """Reads resources from the API."""

    def __init__(self, api: str, api_key: str) -> None:
        """Set the API to ask.

        Args:
            api: The API's address.
            api_key: API key of a user who may read the resources.

        Raises:
            ResourceError: The address or the key cannot be one.
        """
        self.api = check_access(api, api_key)
        self._headers = {"X-API-Key": api_key}

    async def find(self, target: str) -> Resource:
        """Find the resource with an id.

        Args:
            target: Id of a resource, or of its workflow.

        Raises:
            ResourceError: There is no such resource, or the API refuses or does not answer.
        """
        kinds = [kind for kind in KINDS if target.startswith(kind.prefix)][:1]
        for kind in kinds or KINDS:
            key = _key(kind, target.removeprefix(kind.prefix) if kinds else target)
            fields = await self.get(f"{kind.path}/{quote(key, safe='', errors='replace')}")
            if fields is not None:
                return Resource(kind, key, fields)
        *names, last = [kind.name for kind in kinds or KINDS]
        text = f"{', '.join(names)} or {last}" if names else last
        raise ResourceError(f"there is no such {text}: {target}")

    async def get(self, path: str) -> dict[str, Any] | None:
        """Read a path below `/api/v1`; None if there is nothing.

        Raises:
            ResourceError: The API refuses the key, or does not answer.
        """
        url = f"{self.api}/api/v1/{path}"
        try:
            async with httpx.AsyncClient(headers=self._headers, timeout=TIMEOUT_SECONDS) as http:
                reply = await http.get(url)
        except httpx.HTTPError as error:
            raise NoConnectionError(f"{self.api} cannot be reached: {reason_of(error)}") from error
        if reply.status_code in {401, 403}:
            raise ResourceError("the API key is not valid here")
        if reply.status_code >= 500 or reply.status_code == 429:
            raise NoConnectionError(f"{self.api} answers {reply.status_code}")
        if "json" not in reply.headers.get("Content-Type", ""):
            raise ResourceError(f"{self.api} is not an address of the API: it answers no JSON")
        body: dict[str, Any] = reply.json()
        return body if reply.is_success else None


def _key(kind: Kind, key: str) -> str:
    """Return the id of a row; a payment retry's workflow has the id of its invoice."""
    if kind is PAYMENT_RETRY and key.startswith(INVOICE_PREFIX):
        return str(payment_retry_id(key))
    return key
