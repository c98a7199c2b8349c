"""Pages on other origins: who may call the API, what they may send, and what they may read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from temporalio.client import Client

from api.app import build_app
from api.http import request_context
from config import ApiSettings, Settings
from database.session import Sessions
from tests.api.support import add_user, bearer, served
from tests.support.streams import add_run, finish

API = "/api/v1"
OURS, THEIRS = "https://app.example", "https://evil.example"
ORIGIN = "access-control-allow-origin"
CREDENTIALS = "access-control-allow-credentials"
SENT = "authorization, content-type, idempotency-key, last-event-id, x-api-key"


@asynccontextmanager
async def open_to(
    origins: tuple[str, ...],
    settings: Settings,
    temporal: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an app that these origins may call, with two routes that fail."""
    api = ApiSettings(cors_origins=origins)
    app = build_app(settings.model_copy(update={"api": api}), temporal, sessions)

    @app.get("/breaks")
    async def breaks() -> None:
        raise ZeroDivisionError

    @app.get("/hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with served(app) as http:
        yield http


def preflight(origin: str, method: str = "POST", headers: str = SENT) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_no_origin_is_let_in_by_default(
    settings: Settings, dev_server: Client, sessions: Sessions
) -> None:
    async with open_to((), settings, dev_server, sessions) as http:
        asked = await http.options(f"{API}/agent-runs", headers=preflight(OURS))
        sent = await http.get("/health/live", headers={"Origin": OURS})
    assert asked.status_code == 405
    for reply in (asked, sent):
        assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_page_may_send_what_the_api_reads(
    settings: Settings, dev_server: Client, sessions: Sessions
) -> None:
    async with open_to((OURS,), settings, dev_server, sessions) as http:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            asked = await http.options(f"{API}/agent-runs", headers=preflight(OURS, method))
            assert (asked.status_code, asked.headers[ORIGIN]) == (200, OURS)
            assert method in asked.headers["access-control-allow-methods"]
            allowed = asked.headers["access-control-allow-headers"].lower()
            assert all(name in allowed for name in SENT.split(", "))
            assert "origin" in asked.headers["vary"].lower()
            assert asked.headers["x-request-id"]
            assert CREDENTIALS not in asked.headers
        for refused in (preflight(THEIRS), preflight(OURS, headers="x-other")):
            reply = await http.options(f"{API}/agent-runs", headers=refused)
            assert reply.status_code == 400
        sent = await http.get("/health/live", headers={"Origin": THEIRS})
        assert ORIGIN not in sent.headers


async def test_a_page_can_read_every_answer_and_what_it_tells_in_headers(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_context, "ANSWER_SECONDS", 1.0)
    user_id = await add_user(sessions)
    mine = bearer(settings, user_id) | {"Origin": OURS}
    agent_run_id = await add_run(sessions, user_id)
    await finish(sessions, agent_run_id)
    large = b"x" * 2_000_000
    async with open_to((OURS,), settings, dev_server, sessions) as http:
        replies = {
            200: await http.get(f"{API}/agent-runs/{agent_run_id}/events", headers=mine),
            401: await http.get(f"{API}/users/me", headers={"Origin": OURS}),
            404: await http.get(f"{API}/agent-runs/{user_id}", headers=mine),
            413: await http.post(f"{API}/agent-runs", content=large, headers=mine),
            422: await http.post(f"{API}/agent-runs", json={}, headers=mine),
            500: await http.get("/breaks", headers=mine),
            503: await http.get("/hangs", headers=mine),
        }
    for status, reply in replies.items():
        assert (reply.status_code, reply.headers.get(ORIGIN)) == (status, OURS)
        shown = reply.headers["access-control-expose-headers"]
        assert {"Location", "Retry-After", "X-Request-ID"} <= set(shown.split(", "))
        assert CREDENTIALS not in reply.headers


async def test_any_origin_may_be_let_in_but_never_with_credentials(
    settings: Settings, dev_server: Client, sessions: Sessions
) -> None:
    async with open_to(("*",), settings, dev_server, sessions) as http:
        asked = await http.options(f"{API}/agent-runs", headers=preflight(OURS))
        sent = await http.get("/health/live", headers={"Origin": OURS, "Cookie": "a=b"})
    for reply in (asked, sent):
        assert (reply.status_code, reply.headers[ORIGIN]) == (200, "*")
        assert CREDENTIALS not in reply.headers
