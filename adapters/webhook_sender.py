"""Signs webhooks as Standard Webhooks asks for, and sends them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
from standardwebhooks import Webhook

from adapters.egress import AddressRefusedError, Egress, open_http, pinned_request

TIMEOUT_SECONDS = 15.0
USER_AGENT = "Perdure-Webhooks/1"


class OutgoingMessage(NamedTuple):
    """A webhook to send.

    Args:
        message_id: Id of the message, the same on every attempt.
        body: Body to sign and send.
    """

    message_id: str
    body: str


class SendOutcome(NamedTuple):
    """What came of one attempt.

    Args:
        response_status: Status of the answer; None without an answer.
        error: Why the attempt failed; None if it succeeded.
    """

    response_status: int | None
    error: str | None


class WebhookSender:
    """Sends webhooks to addresses that are checked before each connection."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    @asynccontextmanager
    async def open(self, url: str, secrets: Sequence[str]) -> AsyncIterator["WebhookChannel"]:
        """Open a channel to one endpoint, whose connections are used again.

        Args:
            url: Address of the endpoint.
            secrets: Secrets to sign with; more than one while they are rotated.
        """
        async with open_http(TIMEOUT_SECONDS) as http:
            yield WebhookChannel(self._egress, http, url, secrets)


class WebhookChannel:
    """Sends webhooks to one endpoint."""

    def __init__(
        self, egress: Egress, http: httpx.AsyncClient, url: str, secrets: Sequence[str]
    ) -> None:
        self._egress, self._http, self._url = egress, http, httpx.URL(url)
        self._signers = [Webhook(secret) for secret in secrets]

    async def send(self, message: OutgoingMessage) -> SendOutcome:
        """Send a webhook once; redirects are not followed, and answers are not read."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status = await self._post(message)
        except (OSError, ValueError, httpx.HTTPError) as error:
            return SendOutcome(None, _reason(error))
        if 200 <= status < 300:
            return SendOutcome(status, None)
        return SendOutcome(status, f"the endpoint answered {status}")

    async def _post(self, message: OutgoingMessage) -> int:
        headers, body = self._sign(message), message.body.encode()
        addresses = await self._egress.resolve(self._url)
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, headers, body)
            except httpx.ConnectError:
                continue
        return await self._post_to(addresses[-1], headers, body)

    async def _post_to(self, address: str, headers: dict[str, str], body: bytes) -> int:
        request = pinned_request(self._http, "POST", self._url, address, headers, body)
        reply = await self._http.send(request, stream=True)
        await reply.aclose()
        return reply.status_code

    def _sign(self, message: OutgoingMessage) -> dict[str, str]:
        now = datetime.now(UTC)
        signatures = [each.sign(message.message_id, now, message.body) for each in self._signers]
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _reason(error: Exception) -> str:
    """Return why a webhook could not be sent."""
    match error:
        case AddressRefusedError():
            return str(error)
        case TimeoutError() | httpx.TimeoutException():
            return f"no answer within {TIMEOUT_SECONDS:.0f} s"
        case socket.gaierror():
            return "the host cannot be resolved"
        case UnicodeError():
            return "the address is invalid"
        case _:
            return f"the endpoint cannot be reached ({type(error).__name__})"
