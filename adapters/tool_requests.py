"""Sends the HTTP requests of tools; private addresses are refused unless they are allowed."""

import asyncio
import socket
from contextlib import suppress
from typing import NamedTuple

import httpx

from adapters.egress import AddressRefusedError, Egress, open_http, pinned_request
from domain.agents.tools.http_requests import HttpRequest

MAX_REDIRECTS = 3
# Reason: once the status is known, the body is a courtesy.
BODY_SECONDS = 10.0
USER_AGENT = "Perdure-Tools/1"


class ToolReply(NamedTuple):
    """The answer to a request.

    Args:
        status: Status of the answer.
        media_type: Media type of the body, in lower case and without parameters.
        body: Body as far as it was read; empty if it is compressed, which was not asked for.
        is_cut: Whether the body is longer, or broke off.
    """

    status: int
    media_type: str
    body: bytes
    is_cut: bool


class SendFailure(NamedTuple):
    """Why there is no answer to a request.

    Args:
        reason: The reason; it holds no address.
        was_sent: Whether the server may have got the request.
        is_final: Whether the same request can never be sent.
    """

    reason: str
    was_sent: bool
    is_final: bool = False


class ToolRequests:
    """Sends requests to addresses that are checked before each connection."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def send(
        self, request: HttpRequest, time_limit: float, max_bytes: int, redirect_count: int = 0
    ) -> ToolReply | SendFailure:
        """Send a request once.

        Args:
            request: The request.
            time_limit: Seconds until the answer must be read.
            max_bytes: Longest body that is read.
            redirect_count: How many redirects may be followed.
        """
        try:
            async with open_http(time_limit) as http:
                visit = _Visit(http, self._egress, time_limit, max_bytes)
                return await _follow(visit, request, redirect_count)
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            return _failure(error, time_limit)


def _failure(error: Exception, time_limit: float) -> SendFailure:
    """Return why there is no answer."""
    match error:
        case AddressRefusedError():
            return SendFailure(str(error), was_sent=False, is_final=True)
        case httpx.InvalidURL() | ValueError():
            return SendFailure("the address is invalid", was_sent=False, is_final=True)
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return SendFailure("the server cannot be reached", was_sent=False)
        case socket.gaierror():
            return SendFailure("the host cannot be resolved", was_sent=False)
        case TimeoutError() | httpx.TimeoutException():
            return SendFailure(f"no answer within {time_limit:g} s", was_sent=True)
        case _:
            return SendFailure("the connection was cut, or the answer is not HTTP", was_sent=True)


class _Visit(NamedTuple):
    """Visits addresses within the limits of one request."""

    http: httpx.AsyncClient
    egress: Egress
    time_limit: float
    max_bytes: int

    async def visit(self, request: HttpRequest, url: httpx.URL) -> ToolReply | httpx.URL:
        """Return the answer, or the target of a redirect of a GET."""
        async with asyncio.timeout(self.time_limit):
            reply = await self._connect(request, url)
        try:
            if request.method == "GET" and reply.is_redirect and "location" in reply.headers:
                return url.join(reply.headers["location"])
            return await self._read(reply)
        finally:
            await reply.aclose()

    async def _connect(self, request: HttpRequest, url: httpx.URL) -> httpx.Response:
        """Return the answer without its body from the first address that can be connected to."""
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **request.headers}
        addresses = await self.egress.resolve(url)
        for address in addresses:
            sent = pinned_request(self.http, request.method, url, address, headers, request.content)
            try:
                return await self.http.send(sent, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise socket.gaierror

    async def _read(self, reply: httpx.Response) -> ToolReply:
        """Read a body; one that breaks off is told from a whole one, as its status is known."""
        media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        body, is_whole = bytearray(), False
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            return ToolReply(reply.status_code, "", b"", is_cut=False)
        with suppress(OSError, TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(min(self.time_limit, BODY_SECONDS)):
                async for part in reply.aiter_raw():
                    body += part
                    if len(body) > self.max_bytes:
                        break
                is_whole = len(body) <= self.max_bytes
        read = bytes(body[: self.max_bytes])
        return ToolReply(reply.status_code, media_type, read, is_cut=not is_whole)


async def _follow(
    visit: _Visit, request: HttpRequest, redirect_count: int
) -> ToolReply | SendFailure:
    """Visit an address, and the targets of its redirects."""
    url = httpx.URL(request.url)
    while not isinstance(found := await visit.visit(request, url), ToolReply):
        if not redirect_count:
            return SendFailure("too many redirects", was_sent=True, is_final=True)
        if url.scheme == "https" and found.scheme == "http":
            return SendFailure("a redirect leaves https", was_sent=True, is_final=True)
        if _origin(found) != _origin(url):
            # Reason: another server must not get the secrets.
            request = request._replace(headers={})
        url, redirect_count = found, redirect_count - 1
    return found


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
