"""Runs' streams on a real server: any number, no gap, and nobody holds up another."""

import asyncio
import json
import socket as sockets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event, text
from temporalio.client import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.app import build_app
from api.routes import agent_run_events
from api.streaming import feed as stream_feed
from api.streaming import run_feed
from api.streaming import sockets as served_sockets
from config import Settings
from database.listener import APPLICATION_NAME
from database.session import Sessions
from services.agents.token_stream import RunStream
from tests.api.support import add_user, bearer, eventually, served, socket_to
from tests.conftest import Measure
from tests.support.streams import add_run, append, finish, step

MAX_P95_MS = 150


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
    agent_run_id: object,
    headers: dict[str, str] | None = None,
    **params: object,
) -> AbstractAsyncContextManager[ClientConnection]:
    return socket_to(http, f"agent-runs/{agent_run_id}", headers, **params)


async def receive(connection: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(100):
        return [json.loads(await connection.recv()) for _ in range(count)]


async def receive_all(connection: ClientConnection) -> list[dict[str, Any]]:
    """Return all messages until the server closes."""
    async with asyncio.timeout(100):
        return [json.loads(message) async for message in connection]


async def close_code(opening: AbstractAsyncContextManager[ClientConnection]) -> int | None:
    async with opening as connection, asyncio.timeout(100):
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        return connection.close_code


async def sent_events(
    http: httpx.AsyncClient,
    agent_run_id: object,
    headers: dict[str, str],
    **params: Any,
) -> list[dict[str, Any]]:
    """Read a whole stream of server-sent events."""
    async with listen(http, agent_run_id, headers, **params) as reply:
        return [message async for message in messages_of(reply)]


@asynccontextmanager
async def listen(
    http: httpx.AsyncClient,
    agent_run_id: object,
    headers: dict[str, str],
    **params: Any,
) -> AsyncIterator[httpx.Response]:
    address = f"/api/v1/agent-runs/{agent_run_id}/events"
    async with http.stream("GET", address, headers=headers, params=params) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in reply.headers
        yield reply


async def messages_of(reply: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    async for line in reply.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            message = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(message["seq"]), message["kind"])
            yield message
            fields = {}


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in messages]


def serving() -> set[asyncio.Task[Any]]:
    """Return the tasks that serve clients."""
    names = ("api/streaming/", "uvicorn/protocols")
    return {task for task in asyncio.all_tasks() if any(name in repr(task) for name in names)}


@contextmanager
def counted_reads(sessions: Sessions) -> Iterator[list[str]]:
    """Collect the statements that read events."""
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *others: Any) -> None:
        if "FROM run_events" in statement:
            statements.append(statement)

    engine = sessions.kw["bind"].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_a_run_is_told_as_it_happens_and_ends(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    headers = bearer(settings, user_id)
    await append(sessions, agent_run_id, step(1, what="é\u2028\n"))
    async with socket(http, agent_run_id, headers) as connection:
        (first,) = await receive(connection, 1)
        assert first.keys() == {"seq", "kind", "data", "created_at"}
        assert (first["seq"], first["kind"]) == (1, "step")
        assert first["data"] == {"number": 1, "what": "é\u2028\n"}
        assert datetime.fromisoformat(first["created_at"]).tzinfo is not None
        async with RunStream(sessions) as stream:
            stream.put_token(agent_run_id, "Hello", attempt=1, step=2)
            (token,) = await receive(connection, 1)
            assert token["data"] == {"text": "Hello", "attempt": 1, "step": 2}
        assert await finish(sessions, agent_run_id) == 3
        assert [message["kind"] for message in await receive_all(connection)] == ["done"]
        assert connection.close_code == 1000
    told = [first, token]
    assert (await sent_events(http, agent_run_id, headers))[:2] == told


async def test_any_number_is_a_good_beginning(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    ended, running = [await add_run(sessions, user_id) for _ in range(2)]
    headers = bearer(settings, user_id)
    for agent_run_id in (ended, running):
        await append(sessions, agent_run_id, *[step(number) for number in range(7)])
    await finish(sessions, ended)
    for after in (*range(9), 1_000, 2**63 - 1):
        wanted = list(range(after + 1, 9))
        async with socket(http, ended, headers, after=after) as connection:
            assert seqs(await receive_all(connection)) == wanted
            assert connection.close_code == 1000
        assert seqs(await sent_events(http, ended, headers, after=after)) == wanted
        again = headers | {"Last-Event-ID": str(after)}
        assert seqs(await sent_events(http, ended, again, after=3)) == wanted
    for after in range(7):
        async with socket(http, running, headers, after=after) as connection:
            assert seqs(await receive(connection, 7 - after)) == list(range(after + 1, 8))
    async with (
        socket(http, running, headers, after=8) as ahead,
        listen(http, running, headers, after=8) as reply,
    ):
        await append(sessions, running, step(8), step(9))
        assert seqs(await receive(ahead, 1)) == [9]
        await finish(sessions, running)
        assert seqs(await receive_all(ahead)) == [10]
        assert [message["seq"] async for message in messages_of(reply)] == [9, 10]


async def test_a_stream_that_breaks_again_and_again_has_no_gap(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    headers = bearer(settings, user_id)
    # More than the feed keeps in memory.
    count = stream_feed.KEPT_COUNT + 100

    async def write() -> None:
        for number in range(0, count, 4):
            await append(sessions, agent_run_id, *[step(number + each) for each in range(4)])
        await finish(sessions, agent_run_id)

    async with socket(http, agent_run_id, headers) as patient:
        writing = asyncio.create_task(write())
        found: list[dict[str, Any]] = []
        while len(found) < count:
            after = len(found)
            if after % 2:
                async with socket(http, agent_run_id, headers, after=after) as connection:
                    found += await receive(connection, min(17, count - after))
            else:
                async with listen(http, agent_run_id, headers, after=after) as reply:
                    wanted = min(16, count - after) + after
                    async for message in messages_of(reply):
                        found.append(message)
                        if len(found) > wanted:
                            break
        await writing
        whole = await receive_all(patient)
    assert seqs(whole) == list(range(1, count + 2))
    assert found[:count] == whole[:count]


async def test_nobody_watches_unknown(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    owner_id, stranger_id = await add_user(sessions), await add_user(sessions)
    admin_id = await add_user(sessions, "admin")
    agent_run_id = await add_run(sessions, owner_id)
    await finish(sessions, agent_run_id)
    stranger, address = bearer(settings, stranger_id), "/api/v1/agent-runs/{}/events"
    assert await close_code(socket(http, agent_run_id)) == 4401
    refused = await http.get(address.format(agent_run_id))
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    for unseen in (agent_run_id, uuid4(), "rubbish"):
        assert await close_code(socket(http, unseen, stranger)) == 4404
        reply = await http.get(address.format(unseen), headers=stranger)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    for bad in ({"after": -1}, {"after": 2**63}, {"after": "x"}):
        reply = await http.get(address.format(agent_run_id), headers=stranger, params=bad)
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input")
    assert seqs(await sent_events(http, agent_run_id, bearer(settings, admin_id))) == [1]


async def test_a_ticket_ends_with_its_stream(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    await finish(sessions, agent_run_id)

    async def ticket() -> str:
        reply = await http.post("/api/v1/auth/ticket", headers=bearer(settings, user_id))
        return str(reply.json()["ticket"])

    first, second = await ticket(), await ticket()
    async with socket(http, agent_run_id, ticket=first) as connection:
        assert seqs(await receive_all(connection)) == [1]
    assert await close_code(socket(http, agent_run_id, ticket=first)) == 4401
    assert seqs(await sent_events(http, agent_run_id, {}, ticket=second)) == [1]
    address = f"/api/v1/agent-runs/{agent_run_id}/events"
    assert (await http.get(address, params={"ticket": second})).status_code == 401


async def test_a_browser_comes_again_with_its_ticket(
    http: httpx.AsyncClient,
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    """Also if it comes to another process of the API."""
    user_id = await add_user(sessions)
    agent_run_id, other_id = [await add_run(sessions, user_id) for _ in range(2)]
    await append(sessions, agent_run_id, *[step(number) for number in range(3)])
    reply = await http.post("/api/v1/auth/ticket", headers=bearer(settings, user_id))
    ticket = reply.json()["ticket"]
    heads: list[dict[str, str]] = [{}, {"Last-Event-ID": "1"}, {"Last-Event-ID": "2"}]
    async with served(build_app(settings, dev_server, sessions)) as another:
        for number, head in enumerate(heads, 1):
            place = another if number == 2 else http
            async with listen(place, agent_run_id, head, ticket=ticket) as answer:
                assert (await anext(messages_of(answer)))["seq"] == number
    address = f"/api/v1/agent-runs/{other_id}/events"
    assert (await http.get(address, params={"ticket": ticket})).status_code == 401
    assert await close_code(socket(http, other_id, ticket=ticket)) == 4401


async def test_fifty_sockets_cost_one_read_a_notice(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    agent_run_id = await add_run(sessions, await add_user(sessions))
    await append(sessions, agent_run_id, step(0))
    admins = [bearer(settings, await add_user(sessions, "admin")) for _ in range(5)]
    notice_count = 10
    opened = await asyncio.gather(
        *[
            socket(http, agent_run_id, admin).__aenter__()
            for admin in admins
            for _ in range(50 // len(admins))
        ],
    )
    for connection in opened:
        await receive(connection, 1)
    began = asyncio.get_running_loop().time()
    with counted_reads(sessions) as reads:
        for number in range(notice_count):
            await append(sessions, agent_run_id, step(number))
            for connection in opened:
                assert seqs(await receive(connection, 1)) == [number + 2]
        seconds = asyncio.get_running_loop().time() - began
    assert notice_count <= len(reads) <= notice_count + 1 + seconds / run_feed.POLL_SECONDS
    await asyncio.gather(*[connection.close() for connection in opened])


async def test_a_lost_ear_only_delays(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    headers = bearer(settings, user_id)
    listeners = text("SELECT pid FROM pg_stat_activity WHERE application_name = :name")

    async def pids() -> set[int]:
        async with sessions() as session:
            return set(await session.scalars(listeners, {"name": APPLICATION_NAME}))

    async with (
        served(build_app(settings, dev_server, sessions)) as own,
        socket(own, agent_run_id, headers) as connection,
    ):
        before = await eventually(pids)
        async with sessions.begin() as session:
            for pid in before:
                await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await append(sessions, agent_run_id, step(1))
        assert seqs(await receive(connection, 1)) == [1]

        async def is_back() -> bool:
            after = await pids()
            # Reason: of those before, some may have been other tests' own, and are gone for good.
            return bool(after) and not after & before

        await eventually(is_back)
        # Reason: from here on only a notice can tell in time.
        monkeypatch.setattr(run_feed, "POLL_SECONDS", 3_600)
        for number in range(2, 6):
            await append(sessions, agent_run_id, step(number))
            assert seqs(await receive(connection, 1)) == [number]


async def test_a_lost_notice_only_delays(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    async with socket(http, agent_run_id, bearer(settings, user_id)) as connection:
        async with sessions.begin() as session:
            for statement in (
                "INSERT INTO run_events (agent_run_id, seq, kind, event_data)"
                " VALUES (:id, 1, 'step', '{}')",
                "UPDATE agent_runs SET last_event_seq = 1 WHERE agent_run_id = :id",
            ):
                await session.execute(text(statement), {"id": agent_run_id})
        assert seqs(await receive(connection, 1)) == [1]


async def test_a_stalled_client_is_dropped_and_holds_up_nobody(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served_sockets, "SEND_SECONDS", 0.5)
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    headers, count = bearer(settings, user_id), 60
    url = str(http.base_url).replace("http://", "ws://").rstrip("/")
    host, port = http.base_url.host, http.base_url.port
    assert port
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65_536)
    narrow.connect((host, port))
    stalled = connect(
        f"{url}/ws/agent-runs/{agent_run_id}",
        additional_headers=headers,
        proxy=None,
        sock=narrow,
        max_queue=1,
        compression=None,
    )
    async with stalled as slow, socket(http, agent_run_id, headers) as quick:
        bulk = "x" * 200_000
        for number in range(count):
            await append(sessions, agent_run_id, step(number, bulk=bulk))
            await receive(quick, 1)
        await asyncio.sleep(0.6)
        told: list[int] = []
        with suppress(ConnectionClosed):
            async with asyncio.timeout(100):
                while True:
                    told.append(json.loads(await slow.recv())["seq"])
        assert slow.close_code == 1013
        assert told == list(range(1, len(told) + 1))
        assert len(told) < count
        async with socket(http, agent_run_id, headers, after=len(told)) as again:
            assert seqs(await receive(again, 1)) == [len(told) + 1]


async def test_a_stalled_listener_is_dropped(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served_sockets, "SEND_SECONDS", 0.3)
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    credentials = bearer(settings, user_id)["Authorization"]
    before = serving()

    async def is_served() -> bool:
        return serving() > before

    async def is_dropped() -> bool:
        return serving() <= before

    _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port, limit=1_024)
    request = f"GET /api/v1/agent-runs/{agent_run_id}/events HTTP/1.1"
    writer.write(f"{request}\r\nHost: x\r\nAuthorization: {credentials}\r\n\r\n".encode())
    try:
        await eventually(is_served)
        bulk = "x" * 1_000_000
        for number in range(15):
            await append(sessions, agent_run_id, step(number, bulk=bulk))
        await eventually(is_dropped)
    finally:
        writer.transport.abort()


async def test_silence_is_kept_alive(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_run_events, "KEEP_ALIVE_SECONDS", 0.05)
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    async with listen(http, agent_run_id, bearer(settings, user_id)) as reply:
        lines = reply.aiter_lines()
        async with asyncio.timeout(100):
            assert [await anext(lines) for _ in range(3)] == [": ping", "", ": ping"]


async def test_leaving_leaves_nothing_behind(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    await append(sessions, agent_run_id, step(1))
    headers = bearer(settings, user_id)

    before = serving()

    async def is_clean() -> bool:
        return serving() <= before

    for is_rude in (False, True):
        async with socket(http, agent_run_id, headers) as connection:
            await receive(connection, 1)
            assert len(serving()) > len(before)
            if is_rude:
                connection.transport.abort()
        await eventually(is_clean)
    async with listen(http, agent_run_id, headers) as reply:
        assert (await anext(messages_of(reply)))["seq"] == 1
        assert len(serving()) > len(before)
    await eventually(is_clean)
    with counted_reads(sessions) as reads:
        await append(sessions, agent_run_id, step(2))
        await asyncio.sleep(0.1)
    assert reads == []


@pytest.mark.parametrize("most_ms", [None, pytest.param(MAX_P95_MS, marks=pytest.mark.soak)])
async def test_a_token_is_with_the_watcher_soon(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    measure: Measure,
    most_ms: float | None,
) -> None:
    user_id, count = await add_user(sessions), 200
    headers = bearer(settings, user_id)

    async def time_tokens() -> list[float]:
        """Return each token's way from the model's activity to the WebSocket, in milliseconds."""
        agent_run_id = await add_run(sessions, user_id)
        seconds: list[float] = []
        async with RunStream(sessions) as stream, socket(http, agent_run_id, headers) as connection:

            async def write() -> None:
                for _ in range(count):
                    text = f"{time.perf_counter()} "
                    stream.put_token(agent_run_id, text, attempt=1, step=1)
                    await asyncio.sleep(0.01)

            writing = asyncio.create_task(write())
            while len(seconds) < count:
                (message,) = await receive(connection, 1)
                arrived = time.perf_counter()
                seconds += [arrived - float(sent) for sent in message["data"]["text"].split()]
            await writing
        return sorted(each * 1_000 for each in seconds)

    # Reason: the machine may be busy with something else for a while.
    for _ in range(3):
        found = await time_tokens()
        median, slow = found[count // 2], found[count * 95 // 100]
        measure(f"token to WebSocket: p50 {median:.0f} ms, p95 {slow:.0f} ms")
        if most_ms is None or slow <= most_ms:
            return
    raise AssertionError(f"p95 is {slow:.0f} ms, at most {most_ms} are allowed")
