"""How many streams a user may have, what they cost the others, and what ends them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from sqlalchemy import event, update
from temporalio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.app import build_app
from api.streaming import subscription_feed
from api.streaming.watchers import STREAMS_PER_USER
from config import Settings
from database.accounts.models import User
from database.session import Sessions
from tests.api.subscriptions.test_streaming import append, note, receive
from tests.api.support import add_subscription, add_user, bearer, eventually, served, socket_to
from tests.conftest import Measure
from tests.support.streams import add_run, step
from tests.support.streams import append as append_to_run

SOCKET_COUNT = 300
REQUEST_COUNT = 60


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, dev_server, sessions)) as client:
        yield client


async def test_one_stream_too_many_is_429_before_the_upgrade(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id, other_id = [await add_user(sessions) for _ in range(2)]
    subscription_id = await add_subscription(sessions, user_id)
    agent_run_id = await add_run(sessions, user_id)
    await append_to_run(sessions, agent_run_id, step(1))
    mine, events = bearer(settings, user_id), f"/api/v1/agent-runs/{agent_run_id}/events"
    async with AsyncExitStack() as opened:
        for _ in range(STREAMS_PER_USER - 2):
            socket = socket_to(http, f"subscriptions/{subscription_id}", mine)
            await opened.enter_async_context(socket)
        for _ in range(2):
            reply = await opened.enter_async_context(http.stream("GET", events, headers=mine))
            assert reply.status_code == 200

        for path in (f"subscriptions/{subscription_id}", f"agent-runs/{agent_run_id}"):
            with pytest.raises(InvalidStatus) as refused:
                await opened.enter_async_context(socket_to(http, path, mine))
            answer = refused.value.response
            assert answer.status_code == 429
            assert json.loads(answer.body or b"")["code"] == "too_many_streams"
        one_more = await http.get(events, headers=mine)
        assert (one_more.status_code, one_more.json()["code"]) == (429, "too_many_streams")

        others = await add_subscription(sessions, other_id)
        await append(sessions, others, note(1))
        async with socket_to(
            http, f"subscriptions/{others}", bearer(settings, other_id)
        ) as connection:
            assert len(await receive(connection, 1)) == 1

    async def is_free() -> bool:
        try:
            async with socket_to(http, f"subscriptions/{subscription_id}", mine):
                return True
        except InvalidStatus:
            return False

    await eventually(is_free)


async def deactivate(sessions: Sessions, user_id: UUID) -> None:
    async with sessions.begin() as session:
        changed = update(User).where(User.user_id == user_id).values(is_active=False)
        await session.execute(changed)


@pytest.mark.parametrize("by", ["key", "ticket of a key", "deactivation"])
async def test_a_revoked_credential_ends_what_it_has_opened(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    by: str,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    agent_run_id = await add_run(sessions, user_id)
    login = bearer(settings, user_id)
    made = (await http.post("/api/v1/api-keys", json={"name": "x"}, headers=login)).json()
    head: dict[str, str] = {"X-API-Key": made["api_key"]}
    tickets: list[dict[str, str]] = [{}, {}]
    if by == "ticket of a key":
        tickets = [
            {"ticket": (await http.post("/api/v1/auth/ticket", headers=head)).json()["ticket"]}
            for _ in range(2)
        ]
        head = {}
    elif by == "deactivation":
        head = login
    events = f"/api/v1/agent-runs/{agent_run_id}/events"
    async with (
        socket_to(http, f"subscriptions/{subscription_id}", head, **tickets[0]) as connection,
        http.stream("GET", events, headers=head, params=tickets[1]) as reply,
    ):
        assert reply.status_code == 200
        if by == "deactivation":
            await deactivate(sessions, user_id)
        else:
            url = f"/api/v1/api-keys/{made['api_key_id']}"
            assert (await http.delete(url, headers=login)).status_code == 204
        async with asyncio.timeout(100):
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 4401
            assert [line async for line in reply.aiter_lines()] == []
    again = await http.get(events, headers=head, params=tickets[1])
    assert again.status_code == 401


async def test_a_ticket_opens_nothing_after_its_minute(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    await append_to_run(sessions, agent_run_id, step(1))
    events = f"/api/v1/agent-runs/{agent_run_id}/events"

    def ticket(ticket_id: UUID, seconds: float) -> dict[str, str]:
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        claims = {"sub": str(user_id), "jti": str(ticket_id), "aud": "ticket", "exp": expires_at}
        return {"ticket": jwt.encode(claims, settings.auth.jwt_secret.get_secret_value())}

    used, unused = uuid4(), uuid4()
    async with http.stream("GET", events, params=ticket(used, 60)) as reply:
        assert reply.status_code == 200
    async with http.stream("GET", events, params=ticket(used, -3_600)) as reply:
        assert reply.status_code == 200  # a reconnect, an hour later
    assert (await http.get(events, params=ticket(unused, -1))).status_code == 401


async def test_a_long_message_of_a_client_is_not_taken(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    path, head = f"subscriptions/{subscription_id}", bearer(settings, user_id)
    async with socket_to(http, path, head) as connection, asyncio.timeout(30):
        await connection.send("x" * 1_000)
        await connection.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1009


@contextmanager
def counted_reads(sessions: Sessions) -> Iterator[list[str]]:
    """Collect the statements that read subscriptions' events."""
    engine = sessions.kw["bind"].sync_engine
    found: list[str] = []

    def note_statement(*args: Any) -> None:
        if "FROM subscription_events" in args[2]:
            found.append(args[2])

    event.listen(engine, "before_cursor_execute", note_statement)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note_statement)


async def test_many_sockets_share_one_read(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    owners = [await add_user(sessions) for _ in range(4)]
    watched = {owner: await add_subscription(sessions, owner) for owner in owners}
    async with AsyncExitStack() as opened:
        sockets = {
            owner: [
                await opened.enter_async_context(
                    socket_to(http, f"subscriptions/{watched[owner]}", bearer(settings, owner))
                )
                for _ in range(STREAMS_PER_USER // 2)
            ]
            for owner in owners
        }
        began = asyncio.get_running_loop().time()
        with counted_reads(sessions) as reads:
            for number in range(3):
                for owner in owners:
                    await append(sessions, watched[owner], note(number))
                for owner in owners:
                    for connection in sockets[owner]:
                        (message,) = await receive(connection, 1)
                        assert message["seq"] == number + 1
            seconds = asyncio.get_running_loop().time() - began
        # Each note also reads which notes are known.
        shared = [each for each in reads if "unnest" in each]
        assert len(shared) <= seconds / subscription_feed.POLL_SECONDS + 2
    with counted_reads(sessions) as reads:
        await asyncio.sleep(1)
    assert reads == []


async def requests_ms(http: httpx.AsyncClient, head: dict[str, str]) -> list[float]:
    """Return how long requests of one user take, sorted."""
    found = []
    for _ in range(REQUEST_COUNT):
        began = time.perf_counter()
        reply = await http.get("/api/v1/users/me", headers=head)
        found.append((time.perf_counter() - began) * 1_000)
        assert reply.status_code == 200
        await asyncio.sleep(0.01)
    return sorted(found)


@pytest.mark.parametrize("is_asserted", [False, pytest.param(True, marks=pytest.mark.soak)])
async def test_three_hundred_sockets_of_one_user_do_not_hold_up_another(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    measure: Measure,
    *,
    is_asserted: bool,
) -> None:
    greedy_id, other_id = [await add_user(sessions) for _ in range(2)]
    subscription_id = await add_subscription(sessions, greedy_id)
    greedy, other = bearer(settings, greedy_id), bearer(settings, other_id)
    place = REQUEST_COUNT * 95 // 100
    alone = (await requests_ms(http, other))[place]
    async with AsyncExitStack() as opened:

        async def open_one() -> bool:
            try:
                await opened.enter_async_context(
                    socket_to(http, f"subscriptions/{subscription_id}", greedy)
                )
            except InvalidStatus:
                return False
            return True

        taken = await asyncio.gather(*[open_one() for _ in range(SOCKET_COUNT)])
        beside = (await requests_ms(http, other))[place]
    measure(
        f"another user's p95 beside {SOCKET_COUNT} sockets wanted by one, {sum(taken)} open: "
        f"{beside:.1f} ms, without them {alone:.1f} ms"
    )
    assert sum(taken) == STREAMS_PER_USER
    if is_asserted:
        assert beside <= 2 * alone
