"""The API of a team, whose answers get lost in all the ways that answers do."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """One request, as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def document(self) -> Any:
        return json.loads(self.body)


# What a POST does before it answers: `effect, answer`.
MANNERS = {
    "ok": (True, 201),
    "refuse": (False, 422),
    "busy": (False, 429),
    "error_after": (True, 500),
    "error_before": (False, 500),
    "redirect": (True, 302),
    "cut_after": (True, None),
    "cut_before": (False, None),
}


@dataclass
class TeamApi:
    """Makes orders, and tells of them."""

    is_idempotent: bool = False
    # How long an order takes before it is made, and again before it is told.
    pause_seconds: float = 0.0
    orders: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    manners: deque[str] = field(default_factory=deque)
    lookups: deque[int] = field(default_factory=deque)
    document: Any = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def posts(self) -> list[Request]:
        return [each for each in self.requests if each.method == "POST"]

    def order(self, request: Request) -> dict[str, Any]:
        """Make an order; with a key that was there before, return the one made then."""
        key = request.headers.get("idempotency-key", "")
        call = request.headers.get("x-call", "")
        known = [each for each in self.orders if self.is_idempotent and key and each["key"] == key]
        made = {"number": len(self.orders) + 1, "key": key, "call": call, **request.document}
        if not known:
            self.orders.append(made)
        return known[0] if known else made

    async def post(self, request: Request, writer: asyncio.StreamWriter) -> None:
        manner = self.manners.popleft() if self.manners else "ok"
        if manner in MANNERS:
            has_effect, status = MANNERS[manner]
            await asyncio.sleep(self.pause_seconds)
            made = self.order(request) if has_effect else {"detail": manner}
            await asyncio.sleep(self.pause_seconds)
            if status is not None:
                await answer(writer, status, made, {"Location": "/contacts/1"})
            return
        match manner:
            case "hang":
                self.order(request)
                await asyncio.sleep(100)
            case "slow":
                await asyncio.sleep(1)
                await answer(writer, 201, self.order(request))
            case "garbage":
                self.order(request)
                writer.write(b"\x00\xff\x16\x03 nothing that anybody speaks\r\n\r\n")
            case "cut_body":
                self.order(request)
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 999\r\n\r\n{")
            case "not_json":
                self.order(request)
                await answer(writer, 200, b'{"number": ', {"Content-Type": "application/json"})
            case _:
                raise ValueError(manner)

    async def get(self, request: Request, writer: asyncio.StreamWriter) -> None:
        status = self.lookups.popleft() if request.path == "/find" and self.lookups else 200
        found = [each for each in self.orders if each["call"] in request.query.get("call", [])]
        match request.path:
            case _ if status != 200:
                await answer(writer, status, {"detail": "on purpose"})
            case "/find":
                await answer(writer, 200 if found else 404, found[0] if found else {})
            case "/search":
                await answer(writer, 200, {"items": found})
            case "/openapi.json":
                await answer(writer, 200, self.document)
            case "/endless" | "/trickle":
                await stream(writer, is_slow=request.path == "/trickle")
            case "/deep":
                deep = b"[" * 500 + b"]" * 500
                await answer(writer, 200, deep, {"Content-Type": "application/json"})
            case "/picture":
                await answer(writer, 200, b"\x89PNG", {"Content-Type": "image/png"})
            case "/moved":
                (target,) = request.query["to"]
                await answer(writer, 302, {}, {"Location": target})
            case "/status":
                await answer(writer, int(request.query["code"][0]), {"detail": "so it is"})
            case _:
                seen = {"method": request.method, "target": request.target}
                await answer(writer, 200, {**seen, "headers": dict(request.headers)})


async def answer(
    writer: asyncio.StreamWriter,
    status: int,
    body: Any,
    headers: Mapping[str, str] | None = None,
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(
        f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    )
    await writer.drain()


async def stream(writer: asyncio.StreamWriter, *, is_slow: bool) -> None:
    """Answer without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    with suppress(OSError):
        while True:
            writer.write(b"x" if is_slow else b"x" * 65_536)
            await writer.drain()
            await asyncio.sleep(0.1 if is_slow else 0)


async def read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


@asynccontextmanager
async def team_api(**options: Any) -> AsyncIterator[TeamApi]:
    """Run the API of a team on a free port of this machine."""
    api = TeamApi(**options)
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await read(reader)
            api.requests.append(request)
            handle = api.get if request.method == "GET" else api.post
            await handle(request, writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0)
