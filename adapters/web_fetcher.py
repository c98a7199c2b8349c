"""Fetches texts from the web; private addresses are refused unless they are allowed."""

import asyncio
import codecs
import socket
from collections.abc import Collection
from email.message import Message as MediaType

import httpx

from adapters.egress import AddressRefusedError, Egress, open_http, pinned_request
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.documents import document_too_large_error

MAX_REDIRECTS = 3
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 45.0
TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
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


class PageFetcher:
    """Fetches plain text and Markdown over HTTP."""

    def __init__(self, max_bytes: int, allowed_private_hosts: Collection[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._egress = Egress(allowed_private_hosts)

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
            async with asyncio.timeout(TOTAL_SECONDS), open_http(SILENCE_SECONDS) as http:
                location = httpx.URL(url)
                for _ in range(1 + MAX_REDIRECTS):
                    found = await self._visit(http, location)
                    if isinstance(found, str):
                        return found
                    location = found
        except (httpx.TransportError, TimeoutError, socket.gaierror) as error:
            raise _unreachable("the document's server does not answer") from error
        except AddressRefusedError as error:
            raise InvalidInputError(str(error), "document_address_refused") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            # Reason: a label of a host name may be too long for any resolver.
            raise InvalidInputError("the address is invalid", "document_address_refused") from error
        message = f"more than {MAX_REDIRECTS} redirects"
        raise InvalidInputError(message, "document_fetch_refused")

    async def _visit(self, http: httpx.AsyncClient, url: httpx.URL) -> str | httpx.URL:
        """Return the text, or the target of a redirect."""
        addresses = await self._egress.resolve(url)
        for address in addresses[:-1]:
            try:
                return await self._read(http, url, address)
            except httpx.ConnectError:
                continue
        return await self._read(http, url, addresses[-1])

    async def _read(
        self,
        http: httpx.AsyncClient,
        url: httpx.URL,
        address: str,
    ) -> str | httpx.URL:
        headers = {"Accept-Encoding": "identity"}
        request = pinned_request(http, "GET", url, address, headers)
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
