"""Around every request: an id, an answer in time, and never a bare 500."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from starlette.responses import StreamingResponse

from api.http import request_context as middleware


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.1)
    app = FastAPI()
    app.add_middleware(middleware.AnswerMiddleware)
    app.add_middleware(middleware.RequestContextMiddleware)

    @app.get("/hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    @app.get("/is-late")
    async def is_late() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # as Temporal's client does, which raises an error instead
            return "late"
        return ""

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


async def test_an_answer_that_comes_as_the_time_is_over_is_given(http: httpx.AsyncClient) -> None:
    reply = await http.get("/is-late")
    assert (reply.status_code, reply.json()) == (200, "late")


async def test_what_nobody_foresaw_is_a_problem(http: httpx.AsyncClient) -> None:
    reply = await http.get("/breaks", headers={"X-Request-ID": "mine"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert reply.headers["x-request-id"] == "mine"


async def test_a_stream_may_last_longer(http: httpx.AsyncClient) -> None:
    assert (await http.get("/streams")).text == "xxxx"


async def test_a_line_names_the_route_and_not_what_was_in_it() -> None:
    app = FastAPI()
    app.add_middleware(middleware.RequestContextMiddleware)

    router = APIRouter(prefix="/things")

    @router.get("/{thing_id}/parts/{part_id}")
    async def part(thing_id: str, part_id: int) -> str:
        return f"{thing_id} {part_id}"

    app.include_router(router, prefix="/api")
    wanted = "/api/things/secret/parts/7?token=secret"
    transport = httpx.ASGITransport(app)
    with structlog.testing.capture_logs() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            assert (await client.get(wanted)).status_code == 200
            assert (await client.get("/api/things/things/parts/7")).status_code == 200
            assert (await client.post("/api/things/secret/parts/7")).status_code == 405
            assert (await client.get("/secret")).status_code == 404
    seen = [(line["event"], line["route"], line["status"]) for line in lines]
    assert seen == [
        ("request", "/api/things/{thing_id}/parts/{part_id}", 200),
        ("request", "/api/things/{thing_id}/parts/{part_id}", 200),
        ("request", "/api/things/{thing_id}/parts/{part_id}", 405),
        ("request", "unknown", 404),
    ]
    assert "secret" not in str(lines)
