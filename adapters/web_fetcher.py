"""Text from the web, fetched so that nobody reaches into our own network with it."""

import asyncio
import codecs
import ipaddress
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from email.message import Message as MediaType
from functools import partial

import httpx

from adapters.tls import trusted
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.documents import too_large

MAX_REDIRECTS = 3
MAX_PORT = 65_535
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 45.0
TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
# Reason: a resolver may take long, and the threads that all share are not there to wait for it.
LOOK_UPS_AT_ONCE = 16
# What a text may begin with to say how it is encoded; the longer ones first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python calls these encodings too, and some take very long.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"}
)
_TRY_AGAIN = frozenset({408, 425, 429})
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Reason: behind these prefixes an address of version 4 is hidden, perhaps a private one.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


class PageFetcher:
    """Fetches plain text and Markdown over HTTP."""

    def __init__(self, max_bytes: int, allowed_private_hosts: Collection[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._allowed = frozenset(host.casefold() for host in allowed_private_hosts)
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, thread_name_prefix="resolver")

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
                    if isinstance(found, str):
                        return found
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

    async def _visit(self, http: httpx.AsyncClient, url: httpx.URL) -> str | httpx.URL:
        """Return the text, or where a redirect leads."""
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
        resolve = partial(socket.getaddrinfo, url.host, url.port, type=socket.SOCK_STREAM)
        found = await loop.run_in_executor(self._threads, resolve)
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
    ) -> str | httpx.URL:
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
            return _decode(bytes(body), reply.headers["content-type"])
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


def _decode(body: bytes, content_type: str) -> str:
    """Read a text as its first bytes say, else as its header says, else as UTF-8."""
    media = MediaType()
    media["content-type"] = content_type
    said = _known(media.get_content_charset()) or "utf-8"
    charset = next((name for mark, name in _MARKS if body.startswith(mark)), said)
    try:
        return body.decode(charset)
    except UnicodeError as error:
        message = f"the document cannot be read as {charset.upper().removesuffix('-SIG')}"
        raise InvalidInputError(message, "document_not_utf8") from error


def _known(charset: str | None) -> str | None:
    """Return a charset's name, unless it is unknown, or no charset at all."""
    try:
        name = codecs.lookup(charset or "").name
        b" ".decode(name, "ignore")  # Reason: some codecs are of no text
    except LookupError:
        return None
    return None if name in _NO_CHARSETS else name


def _unreachable(message: str) -> UnavailableError:
    return UnavailableError(message, "document_unreachable")
