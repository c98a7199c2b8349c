"""Text from the web, fetched so that nobody reaches into our own network with it."""

import asyncio
import ipaddress
import socket
from collections.abc import Collection

import httpx

from adapters.tls import trusted
from domain.documents import too_large
from domain.errors import InvalidInputError, UnavailableError

MAX_REDIRECTS = 3
MAX_PORT = 65_535
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 45.0
TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
_TRY_AGAIN = frozenset({408, 425, 429})
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Reason: behind these prefixes an address of version 4 is hidden, perhaps a private one.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


class PageFetcher:
    """Fetches plain text and Markdown over HTTP."""

    def __init__(self, max_bytes: int, allowed_private_hosts: Collection[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._allowed = frozenset(host.casefold() for host in allowed_private_hosts)

    async def fetch(self, url: str) -> str:
        """Fetch a text. Redirects are followed, each to an address that was looked at before.

        Args:
            url: With http or https.

        Returns:
            The text.

        Raises:
            InvalidInputError: It is no text, too large, or lies where nobody may go.
            UnavailableError: The other side does not answer now.
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS), self._client() as http:
                here = httpx.URL(url)
                for _ in range(1 + MAX_REDIRECTS):
                    found = await self._visit(http, here)
                    if isinstance(found, bytes):
                        return _decode(found)
                    here = found
        except (httpx.TransportError, TimeoutError, socket.gaierror) as error:
            raise _unreachable("the document's server does not answer") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            # Reason: a part of a host's name may be too long for any resolver.
            raise InvalidInputError("this is no address", "document_address_refused") from error
        message = f"more than {MAX_REDIRECTS} redirects"
        raise InvalidInputError(message, "document_fetch_refused")

    def _client(self) -> httpx.AsyncClient:
        # Reason: a proxy would resolve the host again, and go where we did not look.
        return httpx.AsyncClient(verify=trusted(), timeout=SILENCE_SECONDS, trust_env=False)

    async def _visit(self, http: httpx.AsyncClient, url: httpx.URL) -> bytes | httpx.URL:
        """Return the body, or where a redirect leads."""
        addresses = await self._look_up(url)
        for address in addresses[:-1]:
            try:
                return await self._read(http, url, address)
            except httpx.ConnectError:
                continue
        return await self._read(http, url, addresses[-1])

    async def _look_up(self, url: httpx.URL) -> list[str]:
        is_web = url.scheme in {"http", "https"} and bool(url.host)
        if not is_web or (url.port or 0) > MAX_PORT:
            message = "only http and https addresses are fetched"
            raise InvalidInputError(message, "document_address_refused")
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        is_allowed = url.host.casefold() in self._allowed
        if not is_allowed and not all(map(is_public, addresses)):
            message = "this address is not a public one"
            raise InvalidInputError(message, "document_address_refused")
        return addresses

    async def _read(
        self,
        http: httpx.AsyncClient,
        url: httpx.URL,
        address: str,
    ) -> bytes | httpx.URL:
        # Reason: a name may resolve to something else the next time, so the address that was
        # looked at is connected to; the name stays for the certificate and for virtual hosts.
        request = http.build_request(
            "GET",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode(), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": url.host},
        )
        reply = await http.send(request, stream=True)
        try:
            if reply.is_redirect and "location" in reply.headers:
                return url.join(reply.headers["location"])
            _check_reply(reply)
            body = bytearray()
            async for part in reply.aiter_raw():
                body += part
                if len(body) > self._max_bytes:
                    raise too_large(self._max_bytes)
            return bytes(body)
        finally:
            await reply.aclose()


def is_public(address: str) -> bool:
    """Tell whether an address lies in the open internet."""
    found: _IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


def _check_reply(reply: httpx.Response) -> None:
    status = reply.status_code
    if status >= 500 or status in _TRY_AGAIN:
        raise _unreachable(f"the document's server answers {status}")
    if status != httpx.codes.OK:
        message = f"the document's server answers {status}"
        raise InvalidInputError(message, "document_fetch_refused")
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_plain = reply.headers.get("content-encoding", "identity").lower() == "identity"
    if media_type not in TEXT_TYPES or not is_plain:
        message = "only plain text and Markdown are read"
        raise InvalidInputError(message, "document_type_unsupported")


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError("the document is not UTF-8", "document_not_utf8") from error


def _unreachable(message: str) -> UnavailableError:
    return UnavailableError(message, "document_unreachable")
