"""Connects to Chroma by the async HTTP client of the package `chromadb`.

The package is loaded when Chroma is first needed: it costs a process a second and 20 MB.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

import httpx

from adapters.tls import trusted
from domain.errors import ProviderRejectedError, UnavailableError

if TYPE_CHECKING:
    from chromadb.api import AsyncClientAPI

TIMEOUT_SECONDS = 10.0
_DEFAULT_PORT = 8000
_DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"


class ChromaConnection:
    """Holds the package's client, and creates it when Chroma is first needed.

    Args:
        url: Address of the Chroma server.
        http: Client that sends all requests.
    """

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._lock = asyncio.Lock()
        self._client: AsyncClientAPI | None = None

    async def get(self) -> "AsyncClientAPI":
        """Return the package's client.

        Raises:
            UnavailableError: Chroma is down.
            ProviderRejectedError: Chroma refuses requests.
        """
        if self._client is not None:
            return self._client
        # Reason: importing takes a second, in which the event loop would stand still.
        await asyncio.to_thread(importlib.import_module, "chromadb")
        async with chroma_request(), self._lock:
            if self._client is None:
                # Reason: for each client that cannot connect the package keeps objects for ever.
                await self._http.get(f"{self._url}{_DATABASE}")
                self._client = await self._create()
            return self._client

    async def _create(self) -> "AsyncClientAPI":
        import chromadb  # noqa: PLC0415
        from chromadb.config import Settings as ClientSettings  # noqa: PLC0415

        settings = ClientSettings(
            _env_file=None,  # Reason: `.env` holds our settings, not the package's.
            chroma_server_host=self._url,
            chroma_server_http_port=_DEFAULT_PORT,
            # Reason: certificates are not checked unless this is set.
            chroma_server_ssl_verify=True,
            chroma_otel_granularity=None,
            anonymized_telemetry=False,
        )
        try:
            # Reason: a host with a scheme is taken as the whole address, and the port is ignored.
            client = await chromadb.AsyncHttpClient(self._url, _DEFAULT_PORT, settings=settings)
        except Exception as error:
            raise UnavailableError("Chroma cannot be reached", "chroma_unavailable") from error
        # Reason: the package's own HTTP client has no time limit and no limit of connections, is
        # shared by all clients of an event loop, cannot be closed by them, and some of its errors
        # do not tell the status of the answer. So requests are sent by a client of ours.
        server: Any = client._server  # type: ignore[attr-defined]  # noqa: SLF001
        await server.__aexit__(None, None, None)
        server._get_client = lambda: self._http  # noqa: SLF001
        return client


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[ChromaConnection]:
    """Open the HTTP client of a connection, which connects when it is first used."""
    async with httpx.AsyncClient(
        verify=trusted(),
        timeout=TIMEOUT_SECONDS,
        headers={"Content-Type": "application/json"},
        event_hooks={"response": [_check]},
    ) as http:
        yield ChromaConnection(url, http)


@asynccontextmanager
async def chroma_request() -> AsyncIterator[None]:
    """Limit the time of a request to Chroma, and translate its errors."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield
    except (TimeoutError, httpx.TransportError, JSONDecodeError) as error:
        raise UnavailableError("Chroma cannot be reached", "chroma_unavailable") from error
    except Exception as error:
        from chromadb.errors import ChromaError  # noqa: PLC0415

        # Reason: the package checks arguments before it sends them.
        if isinstance(error, ChromaError | ValueError):
            raise ProviderRejectedError("Chroma refused a request", "chroma_rejected") from error
        raise


async def _check(reply: httpx.Response) -> None:
    """Raise our own error if Chroma answers with an error."""
    if reply.is_success:
        return
    # Reason: another process may have just created or removed the collection; a retry helps.
    if reply.status_code in {404, 408, 409, 429} or not reply.is_client_error:
        raise UnavailableError("Chroma cannot answer now", "chroma_unavailable")
    raise ProviderRejectedError("Chroma refused a request", "chroma_rejected")
