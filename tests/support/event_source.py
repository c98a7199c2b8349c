"""A client of server-sent events that behaves as browsers do, and a relay that cuts connections."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """An event as a page gets it."""

    last_event_id: str
    kind: str
    data: str


class RefusedError(Exception):
    """The server answered with another status or media type; a browser gives up then."""


@dataclass
class EventSource:
    """Follows an URL as `EventSource` does (HTML standard, section 9.2).

    A connection that breaks is opened again, with `Last-Event-ID`. Half an event is dropped.

    Args:
        url: Address of the stream. As in a browser, no other headers can be sent.
        pause_seconds: Pause before the next connection; browsers wait a few seconds.
    """

    url: str
    pause_seconds: float = 0.05
    connection_count: int = 0
    last_event_id: str = ""
    _fields: dict[str, str] = field(default_factory=dict)

    async def events(self) -> AsyncIterator[Event]:
        """Yield events until the caller closes.

        Raises:
            RefusedError: The server refuses.
        """
        async with httpx.AsyncClient(timeout=100) as http:
            while True:
                with suppress(httpx.TransportError):
                    async for event in self._connect(http):
                        yield event
                await asyncio.sleep(self.pause_seconds)

    async def _connect(self, http: httpx.AsyncClient) -> AsyncIterator[Event]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        self.connection_count += 1
        async with http.stream("GET", self.url, headers=headers) as reply:
            media_type = reply.headers.get("content-type", "").split(";")[0]
            if reply.status_code != 200 or media_type != "text/event-stream":
                raise RefusedError(f"{reply.status_code} {media_type}")
            self._fields, rest = {}, b""
            async for part in reply.aiter_raw():
                *lines, rest = _LINE_END.split(rest + part)
                for line in lines:
                    if event := self._take(line.decode()):
                        yield event

    def _take(self, line: str) -> Event | None:
        """Take a line; return the event that it completes."""
        if not line:
            fields, self._fields = self._fields, {}
            self.last_event_id = fields.get("id", self.last_event_id)
            if "data" not in fields:
                return None
            return Event(self.last_event_id, fields.get("event", "message"), fields["data"])
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            value = f"{self._fields['data']}\n{value}"
        self._fields[name] = value
        return None


@dataclass
class Relay:
    """Relays connections to a server, and cuts each one after some bytes of an answer.

    Args:
        port: Port of the server; may be changed at any time.
        allowance: Returns how many bytes pass, by what the client has sent; None passes all.
    """

    port: int
    allowance: Callable[[bytes], int | None]
    cut_count: int = 0
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        left: int | None = None

        async def send(sender: asyncio.StreamWriter) -> None:
            nonlocal left
            with suppress(OSError):
                while part := await reader.read(65_536):
                    allowed = self.allowance(part)
                    left = left if allowed is None else allowed
                    sender.write(part)
                    await sender.drain()

        with suppress(OSError):
            upstream, sender = await asyncio.open_connection("127.0.0.1", self.port)
            sending = asyncio.create_task(send(sender))
            try:
                while left != 0 and (part := await upstream.read(65_536)):
                    writer.write(part[:left])
                    left = None if left is None else max(left - len(part), 0)
                    await writer.drain()
                self.cut_count += left == 0
            finally:
                sending.cancel()
                sender.transport.abort()
        writer.close()


@asynccontextmanager
async def relayed(port: int, allowance: Callable[[bytes], int | None]) -> AsyncIterator[Relay]:
    """Open a relay in front of a port."""
    relay = Relay(port, allowance)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
