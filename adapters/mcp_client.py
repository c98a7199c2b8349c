"""Talks to MCP servers over streamable HTTP; to be imported late, as the SDK takes long to load."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import httpx
import httpx2
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    PaginatedRequestParams,
    TextContent,
)

from adapters.egress import AddressRefusedError, Egress
from adapters.tls import trusted
from domain.errors import ApplicationError, InvalidInputError, UnavailableError

# Reason: the SDK reads whole answers before anybody can look at them.
MAX_BYTES = 2_000_000
MAX_PAGES = 20
_REFUSED = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})

Answer = TypeVar("Answer")


class ListedTool(NamedTuple):
    """A tool as its server describes it."""

    name: str
    description: str
    schema: dict[str, Any]


class McpResult(NamedTuple):
    """The result of a call.

    Args:
        texts: Texts of the result.
        structured: Structured result; None if there is none.
        is_error: Whether the server says that the call failed.
        is_refused: Whether the server refused the call, so that nothing was done.
    """

    texts: list[str]
    structured: Any
    is_error: bool
    is_refused: bool = False


class McpConnection:
    """A connection to a server."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def list_tools(self) -> list[ListedTool]:
        """Return the tools of the server, as it describes them now."""
        found: list[ListedTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = PaginatedRequestParams(cursor=cursor) if cursor else None
            page = await self._session.list_tools(params=params)
            found += [
                ListedTool(each.name, each.description or "", each.input_schema)
                for each in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    async def call(self, name: str, arguments: Mapping[str, Any]) -> McpResult:
        """Call a tool once.

        Args:
            name: Name of the tool at the server.
            arguments: Arguments of the call.
        """
        params = CallToolRequestParams(name=name, arguments=dict(arguments))
        # Reason: the SDK's own call would evaluate a schema of the server, and may send it twice.
        try:
            result = await self._session.send_request(
                CallToolRequest(params=params), CallToolResult
            )
        except MCPError as error:
            if error.code not in _REFUSED:
                raise
            return McpResult([error.message], None, is_error=True, is_refused=True)
        texts = [each.text for each in result.content if isinstance(each, TextContent)]
        return McpResult(texts, result.structured_content, is_error=result.is_error)


async def use_server(
    egress: Egress,
    url: str,
    headers: Mapping[str, str],
    time_limit: float,
    work: Callable[[McpConnection], Awaitable[Answer]],
) -> Answer:
    """Connect to a server, and do some work with it.

    Args:
        egress: Checks the server's address before each connection.
        url: Address of the server.
        headers: Headers of all requests.
        time_limit: Seconds for all of it.
        work: What to do.

    Raises:
        InvalidInputError: The address is refused.
        UnavailableError: The server does not answer, or cannot be understood.
        ApplicationError: What `work` raises.
    """
    done: list[Answer] = []
    try:
        async with asyncio.timeout(time_limit):
            await _connect_and_work(egress, url, headers, work, done)
    except Exception as error:  # noqa: BLE001 - the SDK wraps all errors in groups
        if done:
            return done[0]  # Reason: how a connection ends does not change what was done.
        _raise(error)
    return done[0]


async def _connect_and_work(
    egress: Egress,
    url: str,
    headers: Mapping[str, str],
    work: Callable[[McpConnection], Awaitable[Answer]],
    done: list[Answer],
) -> None:
    sent = {**headers, "Accept-Encoding": "identity"}
    transport = _CheckedTransport(egress)
    async with httpx2.AsyncClient(
        transport=transport,
        headers=sent,
        timeout=None,
        trust_env=False,
    ) as http:
        wire = streamable_http_client(url, http_client=http, terminate_on_close=False)
        async with Client(wire, cache=None) as client:
            done.append(await work(McpConnection(client.session)))


def _raise(error: BaseException) -> None:
    """Raise the first error of a group as one of ours."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ApplicationError):
        raise error
    if isinstance(error, AddressRefusedError):
        raise InvalidInputError(str(error), "tool_address_refused") from error
    raise UnavailableError(f"the MCP server cannot be used ({type(error).__name__})") from error


class _CheckedTransport(httpx2.AsyncHTTPTransport):
    """Connects to addresses that were checked, and reads bounded answers."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(verify=trusted(), trust_env=False)
        self._egress = egress

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the checked address of its host."""
        addresses = await self._egress.resolve(httpx.URL(str(request.url)))
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=addresses[0]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        reply = await super().handle_async_request(pinned)
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            await reply.aclose()
            raise httpx2.ReadError("a compressed answer, which was not asked for")
        return httpx2.Response(
            reply.status_code,
            headers=reply.headers,
            stream=_BoundedStream(reply.stream),
            extensions=reply.extensions,
        )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > MAX_BYTES:
                raise httpx2.ReadError(f"an answer of more than {MAX_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
