"""WebSockets on a real server: who may listen, in what order, and what is left behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from sqlalchemy import update
from temporalio.client import Client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from api.app import build_app
from config import Settings
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.subscriptions.messages import NewSubscriptionEvent
from tests.api.support import add_subscription, add_user, bearer, eventually, served, socket_to


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, dev_server, sessions)) as client:
        yield client


def socket(
    http: httpx.AsyncClient,
    subscription_id: object,
    headers: dict[str, str] | None = None,
    **params: object,
) -> AbstractAsyncContextManager[ClientConnection]:
    return socket_to(http, f"subscriptions/{subscription_id}", headers, **params)


async def append(sessions: Sessions, subscription_id: UUID, *notes: NewSubscriptionEvent) -> None:
    async with sessions.begin() as session:
        await SubscriptionRepository(session).lock(subscription_id)
        await SubscriptionEventRepository(session).append(subscription_id, notes)


def note(number: object, **data: Any) -> NewSubscriptionEvent:
    kind = "status_changed" if "to" in data else "command"
    return NewSubscriptionEvent(
        kind=kind, summary=f"event {number}", data=data, source_key=str(uuid4())
    )


async def receive(connection: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(100):
        return [json.loads(await connection.recv()) for _ in range(count)]


async def close_code(opening: AbstractAsyncContextManager[ClientConnection]) -> int | None:
    """Return the code that a socket is closed with, having said nothing."""
    async with opening as connection, asyncio.timeout(100):
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        return connection.close_code


async def test_events_come_in_order_and_say_what_happened(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    await append(sessions, subscription_id, note(1), note(2, amount_cents=5))
    async with socket(http, subscription_id, bearer(settings, user_id)) as connection:
        first, second = await receive(connection, 2)
        assert first.keys() == {"seq", "kind", "data", "created_at"}
        assert (first["seq"], first["kind"]) == (1, "command")
        assert (second["seq"], second["data"]) == (2, {"amount_cents": 5, "summary": "event 2"})
        assert datetime.fromisoformat(second["created_at"]).tzinfo is not None
        await append(sessions, subscription_id, note(3))
        assert [message["seq"] for message in await receive(connection, 1)] == [3]


async def test_a_stream_that_breaks_again_and_again_has_no_gap(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    headers = bearer(settings, user_id)
    writers_count, notes_each = 4, 25

    async def write() -> None:
        for number in range(notes_each):
            await append(sessions, subscription_id, note(number))
            await asyncio.sleep(0.002)

    writers = [asyncio.create_task(write()) for _ in range(writers_count)]
    seqs: list[int] = []
    while len(seqs) < writers_count * notes_each:
        after = seqs[-1] if seqs else 0
        wanted = min(17, writers_count * notes_each - len(seqs))
        async with socket(http, subscription_id, headers, after=after) as connection:
            seqs += [message["seq"] for message in await receive(connection, wanted)]
    await asyncio.gather(*writers)
    assert seqs == list(range(1, writers_count * notes_each + 1))


async def test_an_ended_subscription_ends_its_stream_after_all_was_told(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    headers = bearer(settings, user_id)
    async with socket(http, subscription_id, headers) as connection:
        await append(sessions, subscription_id, note(1, to="canceled"))
        await receive(connection, 1)
        await append(sessions, subscription_id, note("late"))
        (late,) = await receive(connection, 1)
        assert late["data"]["summary"] == "event late"
        with pytest.raises(ConnectionClosed):
            await receive(connection, 1)
        assert connection.close_code == 1000
    async with sessions.begin() as session:
        await session.execute(
            update(Subscription)
            .where(Subscription.subscription_id == subscription_id)
            .values(subscription_status="canceled"),
        )
    assert await close_code(socket(http, subscription_id, headers, after=2)) == 1000


async def test_nobody_listens_unknown(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    owner_id, stranger_id = await add_user(sessions), await add_user(sessions)
    admin_id = await add_user(sessions, "admin")
    subscription_id = await add_subscription(sessions, owner_id)
    assert await close_code(socket(http, subscription_id)) == 4401
    rubbish = {"Authorization": "Bearer rubbish"}
    assert await close_code(socket(http, subscription_id, rubbish)) == 4401
    assert await close_code(socket(http, subscription_id, {"X-API-Key": "rubbish"})) == 4401
    stranger = bearer(settings, stranger_id)
    for unseen in (subscription_id, uuid4(), "rubbish"):
        assert await close_code(socket(http, unseen, stranger)) == 4404
    await append(sessions, subscription_id, note(1))
    async with socket(http, subscription_id, bearer(settings, admin_id)) as connection:
        assert len(await receive(connection, 1)) == 1


async def test_a_ticket_is_good_for_the_stream_that_it_opened(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    await append(sessions, subscription_id, note(1))
    reply = await http.post("/api/v1/auth/ticket", headers=bearer(settings, user_id))
    assert (reply.status_code, reply.json()["expires_in"]) == (200, 60)
    ticket = reply.json()["ticket"]
    other_id = await add_subscription(sessions, user_id)
    for _ in range(2):
        async with socket(http, subscription_id, ticket=ticket) as connection:
            await receive(connection, 1)
        assert await close_code(socket(http, other_id, ticket=ticket)) == 4401
    await append(sessions, subscription_id, note(2, to="canceled"))
    async with socket(http, subscription_id, ticket=ticket, after=1) as connection:
        await receive(connection, 1)
        with pytest.raises(ConnectionClosed):
            await receive(connection, 1)
    assert await close_code(socket(http, subscription_id, ticket=ticket)) == 4401
    assert (await http.post("/api/v1/auth/ticket")).status_code == 401
    # A ticket travels in addresses, and so in logs: it must be good for nothing else.
    as_token = {"Authorization": f"Bearer {ticket}"}
    assert (await http.post("/api/v1/auth/ticket", headers=as_token)).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"exp": datetime.now(UTC) - timedelta(seconds=1)},
        {"aud": "something else"},
        {"jti": "no uuid"},
        {"sub": str(uuid4())},
    ],
    ids=["late", "audience", "number", "nobody"],
)
async def test_tickets_that_are_none(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    change: dict[str, Any],
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    claims = {
        "sub": str(user_id),
        "jti": str(uuid4()),
        "aud": "ticket",
        "exp": datetime.now(UTC) + timedelta(seconds=60),
    } | change
    ticket = jwt.encode(claims, settings.auth.jwt_secret.get_secret_value())
    assert await close_code(socket(http, subscription_id, ticket=ticket)) == 4401


async def test_leaving_leaves_no_task_behind(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    await append(sessions, subscription_id, note(1))
    headers = bearer(settings, user_id)

    def streaming() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if "api/streaming/" in repr(task)}

    before = streaming()
    for is_rude in (False, True):
        async with socket(http, subscription_id, headers) as connection:
            await receive(connection, 1)
            assert len(streaming()) > len(before)
            if is_rude:
                connection.transport.abort()

        async def is_clean() -> bool:
            return streaming() <= before

        await eventually(is_clean)
