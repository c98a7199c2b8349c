"""Bodies on a real server: too large ones are refused unread, and those that never come in time."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from api.errors import install_error_handlers
from api.http import body_limits as request_limits
from api.http.body_limits import BodyLimitMiddleware, read_body
from tests.api.support import served

LIMIT = 100_000


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.add_middleware(BodyLimitMiddleware, limits={"/wide": 2 * LIMIT}, default=LIMIT)
    install_error_handlers(app)

    @app.post("/{place}")
    async def take(request: Request, place: str) -> int:
        return len(await read_body(request))

    @app.post("/unread/{place}")
    async def leave(place: str) -> str:
        return place

    async with served(app) as client:
        yield client


async def chunks(size: int, pause: float = 0) -> AsyncIterator[bytes]:
    for _ in range(size // 10_000):
        await asyncio.sleep(pause)
        yield b"x" * 10_000


@pytest.mark.parametrize(("path", "limit"), [("/narrow", LIMIT), ("/wide", 2 * LIMIT)])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_each_path_reads_up_to_its_limit(
    http: httpx.AsyncClient, path: str, limit: int, is_chunked: bool
) -> None:
    fits = await http.post(path, content=chunks(limit) if is_chunked else b"x" * limit)
    assert (fits.status_code, fits.json()) == (200, limit)
    more = limit + 10_000
    reply = await http.post(path, content=chunks(more) if is_chunked else b"x" * more)
    assert reply.status_code == 413
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert (body["code"], body["details"]) == ("payload_too_large", {"limit_bytes": limit})


async def answer_to(http: httpx.AsyncClient, head: str) -> bytes:
    """Send the head of a request and nothing more; return all that is answered."""
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    try:
        writer.write(head.replace("\n", "\r\n").encode())
        return await reader.readuntil(b"}")
    finally:
        writer.close()


async def test_a_large_body_is_refused_before_it_comes(http: httpx.AsyncClient) -> None:
    head = "POST /narrow HTTP/1.1\nHost: x\nContent-Length: 30000000\n\n"
    async with asyncio.timeout(10):
        assert b" 413 " in (await answer_to(http, head)).splitlines()[0]


async def test_a_body_that_never_comes_is_408(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "BODY_SECONDS", 0.2)
    for body in ("Content-Length: 5\n\nab", "Transfer-Encoding: chunked\n\n1\na\n"):
        seen = await answer_to(http, f"POST /narrow HTTP/1.1\nHost: x\n{body}")
        assert b" 408 " in seen.splitlines()[0]
        assert b"request_timeout" in seen


async def test_a_body_that_nobody_reads_does_not_lose_the_answer(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await http.post("/unread/here", content=chunks(LIMIT, pause=0.01))
    assert (reply.status_code, reply.json()) == (200, "here")
    assert reply.headers["connection"] == "close"
    monkeypatch.setattr(request_limits, "LINGER_SECONDS", 0.2)
    began = time.monotonic()
    head = "POST /unread/here HTTP/1.1\nHost: x\nContent-Length: 5\n\n"
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(head.replace("\n", "\r\n").encode())
    async with asyncio.timeout(10):
        whole = await reader.read()
    writer.close()
    assert whole.endswith(b'"here"')
    assert time.monotonic() - began >= 0.2
