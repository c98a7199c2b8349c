"""Around every request: an id, an answer in time, and never a bare 500."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from api import middleware


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.1)
    app = FastAPI()
    app.add_middleware(middleware.RequestContextMiddleware)

    @app.get("/hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    @app.get("/breaks")
    async def breaks() -> None:
        raise ZeroDivisionError

    @app.get("/streams")
    async def streams() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for _ in range(4):
                await asyncio.sleep(0.05)
                yield "x"

        return StreamingResponse(chunks())

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        yield client


async def test_what_hangs_is_answered_in_time(http: httpx.AsyncClient) -> None:
    reply = await http.get("/hangs")
    assert (reply.status_code, reply.json()["code"]) == (503, "outcome_pending")
    assert "retry-after" in reply.headers


async def test_what_nobody_foresaw_is_a_problem(http: httpx.AsyncClient) -> None:
    reply = await http.get("/breaks", headers={"X-Request-ID": "mine"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert reply.headers["x-request-id"] == "mine"


async def test_a_stream_may_last_longer(http: httpx.AsyncClient) -> None:
    assert (await http.get("/streams")).text == "xxxx"
