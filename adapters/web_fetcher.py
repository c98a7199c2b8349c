"""Fetches texts from the web; private addresses are refused unless they are allowed."""

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
from domain.knowledge.documents import document_too_large_error

MAX_REDIRECTS = 3
MAX_PORT = 65_535
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 45.0
TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
# Reason: a resolver may take long, and must not occupy the threads of the shared pool.
RESOLVER_THREAD_COUNT = 16
# Byte order marks and their encodings, the longer marks first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python lists these as encodings too, and some take very long.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"}
)
_TRY_AGAIN = frozenset({408, 425, 429})
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Reason: an IPv6 address with such a prefix contains an IPv4 address, perhaps a private one.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


class PageFetcher:
    """Fetches plain text and Markdown over HTTP."""

    def __init__(self, max_bytes: int, allowed_private_hosts: Collection[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._allowed = frozenset(host.casefold() for host in allowed_private_hosts)
        self._threads = ThreadPoolExecutor(RESOLVER_THREAD_COUNT, thread_name_prefix="resolver")

    async def fetch(self, url: str) -> str:
        """Fetch a text and follow redirects; check each address before connecting to it.

        Args:
            url: URL with http or https.

        Returns:
            The text.

        Raises:
            InvalidInputError: The document is not a text, is too large, or its address is refused.
            UnavailableError: The server does not answer now.
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS), self._client() as http:
                location = httpx.URL(url)
                for _ in range(1 + MAX_REDIRECTS):
                    found = await self._visit(http, location)
                    if isinstance(found, str):
                        return found
                    location = found
        except (httpx.TransportError, TimeoutError, socket.gaierror) as error:
            raise _unreachable("the document's server does not answer") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            # Reason: a label of a host name may be too long for any resolver.
            raise InvalidInputError("the address is invalid", "document_address_refused") from error
        message = f"more than {MAX_REDIRECTS} redirects"
        raise InvalidInputError(message, "document_fetch_refused")

    def _client(self) -> httpx.AsyncClient:
        # Reason: a proxy would resolve the host again, and might connect to an unchecked address.
        return httpx.AsyncClient(verify=trusted(), timeout=SILENCE_SECONDS, trust_env=False)

    async def _visit(self, http: httpx.AsyncClient, url: httpx.URL) -> str | httpx.URL:
        """Return the text, or the target of a redirect."""
        addresses = await self._resolve(url)
        for address in addresses[:-1]:
            try:
                return await self._read(http, url, address)
            except httpx.ConnectError:
                continue
        return await self._read(http, url, addresses[-1])

    async def _resolve(self, url: httpx.URL) -> list[str]:
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
            message = "the address is not public"
            raise InvalidInputError(message, "document_address_refused")
        return addresses

    async def _read(
        self,
        http: httpx.AsyncClient,
        url: httpx.URL,
        address: str,
    ) -> str | httpx.URL:
        # Reason: a host name may resolve differently the next time, so the request goes to the
        # checked address; the name is kept for the certificate and for virtual hosts.
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
                    raise document_too_large_error(self._max_bytes)
            return _decode(bytes(body), reply.headers["content-type"])
        finally:
            await reply.aclose()


def is_public(address: str) -> bool:
    """Tell whether an IP address is public."""
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
    """Decode a text by its byte order mark, else by its header, else as UTF-8."""
    media = MediaType()
    media["content-type"] = content_type
    declared = _charset_name(media.get_content_charset()) or "utf-8"
    charset = next((name for mark, name in _MARKS if body.startswith(mark)), declared)
    try:
        return body.decode(charset)
    except UnicodeError as error:
        message = f"the document cannot be read as {charset.upper().removesuffix('-SIG')}"
        raise InvalidInputError(message, "document_not_utf8") from error


def _charset_name(charset: str | None) -> str | None:
    """Return the name of a charset; None if it is unknown or not a charset of texts."""
    try:
        name = codecs.lookup(charset or "").name
        b" ".decode(name, "ignore")  # Reason: some codecs do not decode to text
    except LookupError:
        return None
    return None if name in _NO_CHARSETS else name


def _unreachable(message: str) -> UnavailableError:
    return UnavailableError(message, "document_unreachable")
