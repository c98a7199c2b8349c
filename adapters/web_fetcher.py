"""Fetches files from the web; private addresses are refused unless they are allowed."""

import asyncio
import socket
from collections.abc import Collection
from typing import NamedTuple

import httpx

from adapters.egress import AddressRefusedError, Egress, open_http, pinned_request
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.documents import document_too_large_error
from domain.knowledge.files import (
    READABLE_TYPES,
    SourceFile,
    read_media_type,
    type_unsupported_error,
)
from domain.web_domains import is_allowed_address

MAX_REDIRECTS = 3
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 45.0
_TRY_AGAIN = frozenset({408, 425, 429})


class Fetched(NamedTuple):
    """A file from the web, and the address at which it was after all redirects."""

    url: str
    file: SourceFile


class PageFetcher:
    """Fetches files that can be read over HTTP.

    Args:
        max_bytes: Largest file.
        allowed_private_hosts: Hosts that may be in a private network.
        allowed_domains: Domains to fetch from, also by a redirect; None for all.
    """

    def __init__(
        self,
        max_bytes: int,
        allowed_private_hosts: Collection[str] = (),
        allowed_domains: Collection[str] | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._egress = Egress(allowed_private_hosts)
        self._allowed_domains = allowed_domains

    async def fetch(self, url: str) -> Fetched:
        """Fetch a file and follow redirects; check each address before connecting to it.

        Args:
            url: URL with http or https.

        Returns:
            The file.

        Raises:
            InvalidInputError: The file is of another kind, is too large, or its address is refused.
            UnavailableError: The server does not answer now.
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS), open_http(SILENCE_SECONDS) as http:
                location = httpx.URL(url)
                for _ in range(1 + MAX_REDIRECTS):
                    self._check_domain(location)
                    found = await self._visit(http, location)
                    if isinstance(found, SourceFile):
                        return Fetched(str(location), found)
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

    def _check_domain(self, url: httpx.URL) -> None:
        """Refuse an address that the list of domains does not allow.

        Raises:
            InvalidInputError: The list is empty (`fetch_page_off`), or does not have the domain.
            AddressRefusedError: The address has a user name or a password.
        """
        if self._allowed_domains is None:
            return
        if not self._allowed_domains:
            message = "no pages can be fetched: this deployment allows no domain"
            raise InvalidInputError(message, "fetch_page_off")
        if url.userinfo:
            raise AddressRefusedError("an address must not have a user name or a password")
        host = url.raw_host.decode("ascii")
        if not is_allowed_address(url.scheme, host, url.port, self._allowed_domains):
            message = "this deployment does not allow to fetch pages of this domain or port"
            raise InvalidInputError(message, "domain_not_allowed")

    async def _visit(self, http: httpx.AsyncClient, url: httpx.URL) -> SourceFile | httpx.URL:
        """Return the file, or the target of a redirect."""
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
    ) -> SourceFile | httpx.URL:
        headers = {"Accept-Encoding": "identity"}
        request = pinned_request(http, "GET", url, address, headers)
        reply = await http.send(request, stream=True)
        try:
            if reply.is_redirect and "location" in reply.headers:
                return url.join(reply.headers["location"])
            _check_status(reply)
            media_type, charset = _declared(reply)
            body = bytearray()
            async for part in reply.aiter_raw():
                body += part
                if len(body) > self._max_bytes:
                    raise document_too_large_error(self._max_bytes)
            return SourceFile(bytes(body), media_type, charset)
        finally:
            await reply.aclose()


def _check_status(reply: httpx.Response) -> None:
    status = reply.status_code
    if status >= 500 or status in _TRY_AGAIN:
        raise _unreachable(f"the document's server answers {status}")
    if status != httpx.codes.OK:
        message = f"the document's server answers {status}"
        raise InvalidInputError(message, "document_fetch_refused")


def _declared(reply: httpx.Response) -> tuple[str, str | None]:
    """Return the declared media type and charset of a reply, if files of this type are read.

    Raises:
        InvalidInputError: They are not, or the reply is compressed.
    """
    media_type, charset = read_media_type(reply.headers.get("content-type", ""))
    is_plain = reply.headers.get("content-encoding", "identity").lower() == "identity"
    if media_type not in READABLE_TYPES or not is_plain:
        raise type_unsupported_error()
    return media_type, charset


def _unreachable(message: str) -> UnavailableError:
    return UnavailableError(message, "document_unreachable")
