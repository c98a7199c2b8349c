"""Runs' streams on a real PostgreSQL and a bad network: no gaps, and tokens exactly once."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import pytest

from api.streaming.run_feed import RunFeed
from database.agents.models import RunEvent
from database.agents.run_events import RunEventRepository
from database.session import Sessions, make_engine, make_sessions
from domain.errors import NotFoundError, UnavailableError
from services.agents import token_stream as run_stream
from services.agents.token_stream import RunStream
from tests.support.streams import Relay, add_run, append, finish, step


async def read(sessions: Sessions, agent_run_id: UUID, after: int = 0) -> Sequence[RunEvent]:
    async with sessions() as session:
        return await RunEventRepository(session).list(agent_run_id, after, 10_000)


def text_of(events: Sequence[RunEvent]) -> str:
    return "".join(event.event_data["text"] for event in events if event.kind == "token")


async def test_twenty_writers_of_one_run_leave_no_gap(sessions: Sessions) -> None:
    agent_run_id = await add_run(sessions)

    async def write(writer: int) -> list[int]:
        return [
            await append(sessions, agent_run_id, step(writer), step(number)) for number in range(10)
        ]

    lasts = chain.from_iterable(await asyncio.gather(*[write(number) for number in range(20)]))
    assert sorted(lasts) == list(range(2, 401, 2))
    events = await read(sessions, agent_run_id)
    assert [event.seq for event in events] == list(range(1, 401))
    times = [event.created_at for event in events]
    assert times == sorted(times)


async def test_events_come_after_a_number_and_in_pages(sessions: Sessions) -> None:
    one, two, silent = [await add_run(sessions) for _ in range(3)]
    assert await append(sessions, one, *[step(number) for number in range(5)]) == 5
    assert await append(sessions, two, step(0), step(1)) == 2
    async with sessions() as session:
        events = RunEventRepository(session)
        assert [event.seq for event in await events.list(one, 3, 10)] == [4, 5]
        assert [event.seq for event in await events.list(one, 0, 2)] == [1, 2]
        assert await events.list(one, 5, 10) == await events.list(uuid4(), 0, 10) == []
        found = await events.list_many({one: 1, two: 1, silent: 0}, 3)
    assert {(event.agent_run_id, event.seq) for event in found} == {
        (one, 2),
        (one, 3),
        (one, 4),
        (two, 2),
    }


async def test_an_unknown_run_takes_no_events(sessions: Sessions) -> None:
    with pytest.raises(NotFoundError):
        await append(sessions, uuid4(), step(1))


async def test_tokens_are_written_joined_and_in_order(sessions: Sessions) -> None:
    agent_run_id = await add_run(sessions)
    async with RunStream(sessions) as stream:
        for number in range(200):
            stream.put_token(agent_run_id, f"{number} ", attempt=1, step=2)
        stream.put_token(agent_run_id, "", attempt=1, step=2)
        stream.put_token(agent_run_id, "again", attempt=2, step=2)
        await stream.drain(agent_run_id)
        events = await read(sessions, agent_run_id)
        assert [event.event_data["attempt"] for event in events] == [1, 2]
        assert events[0].event_data == {
            "text": "".join(f"{number} " for number in range(200)),
            "attempt": 1,
            "step": 2,
        }
        await stream.drain(agent_run_id)
        await stream.drain(uuid4())
        stream.put_token(agent_run_id, "at the end", attempt=2, step=2)
    assert text_of(await read(sessions, agent_run_id, 2)) == "at the end"


async def test_what_no_column_takes_is_replaced(sessions: Sessions) -> None:
    agent_run_id = await add_run(sessions)
    async with RunStream(sessions) as stream:
        for text in ("a\0b", "\ud83d", "\ude00", " \ud83d!"):
            stream.put_token(agent_run_id, text, attempt=1, step=1)
    assert text_of(await read(sessions, agent_run_id)) == "a\ufffdb\U0001f600 \ufffd!"
    await append(sessions, agent_run_id, step(1, deep=[{"\0": ("\0", 1, None)}]))
    (event,) = await read(sessions, agent_run_id, 1)
    assert event.event_data["deep"] == [{"\ufffd": ["\ufffd", 1, None]}]


async def test_nothing_is_said_after_the_end(sessions: Sessions) -> None:
    ended, alive = await add_run(sessions), await add_run(sessions)
    assert await finish(sessions, ended) == 1
    async with RunStream(sessions) as stream:
        for agent_run_id in (ended, alive, uuid4()):
            stream.put_token(agent_run_id, "late", attempt=1, step=1)
    assert [event.kind for event in await read(sessions, ended)] == ["done"]
    assert text_of(await read(sessions, alive)) == "late"


async def test_two_workers_write_to_the_same_runs(sessions: Sessions) -> None:
    runs = [await add_run(sessions) for _ in range(5)]

    async def work(attempt: int) -> None:
        async with RunStream(sessions) as stream:
            for number in range(60):
                # Reason: each begins with another run, so that locks cross if they can.
                for agent_run_id in runs if attempt == 1 else reversed(runs):
                    stream.put_token(agent_run_id, f"{number} ", attempt=attempt, step=1)
                if number % 7 == 0:
                    await stream.drain(runs[number % 5])
                await asyncio.sleep(0.002)

    await asyncio.gather(work(1), work(2))
    whole = "".join(f"{number} " for number in range(60))
    for agent_run_id in runs:
        events = await read(sessions, agent_run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        for attempt in (1, 2):
            mine = [event for event in events if event.event_data["attempt"] == attempt]
            assert text_of(mine) == whole


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Relay]:
    # Reason: the path of a Unix socket must be short.
    with TemporaryDirectory(prefix="relay-") as folder:
        async with Relay(Path(folder), database_url) as relay:
            yield relay


@pytest.fixture
async def shaky(relay: Relay) -> AsyncIterator[Sessions]:
    """The database as seen through the relay."""
    engine = make_engine(relay.database_url)
    yield make_sessions(engine)
    await engine.dispose()


async def test_an_outage_costs_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch,
    sessions: Sessions,
    shaky: Sessions,
    relay: Relay,
) -> None:
    monkeypatch.setattr(run_stream, "DRAIN_SECONDS", 0.4)
    agent_run_id, other = await add_run(sessions), await add_run(sessions)
    async with RunStream(shaky) as stream:
        stream.put_token(agent_run_id, "a", attempt=1, step=1)
        await stream.drain(agent_run_id)
        relay.cut()
        for text in "bcd":
            stream.put_token(agent_run_id, text, attempt=1, step=1)
            with pytest.raises(UnavailableError):
                await stream.drain(agent_run_id)
        bulk = "x" * (run_stream.BUFFER_CHARACTERS - 10)
        stream.put_token(other, bulk, attempt=1, step=1)
        with pytest.raises(UnavailableError):
            stream.put_token(other, "y" * 11, attempt=1, step=1)
        stream.put_token(agent_run_id, "e", attempt=1, step=1)
        relay.mend()
        monkeypatch.setattr(run_stream, "DRAIN_SECONDS", 5.0)
        await stream.drain(agent_run_id)
        await stream.drain(other)
        stream.put_token(other, "z", attempt=1, step=1)
    assert text_of(await read(sessions, agent_run_id)) == "abcde"
    assert text_of(await read(sessions, other)) == bulk + "z"


async def test_a_commit_without_an_answer_is_not_done_twice(
    sessions: Sessions,
    shaky: Sessions,
    relay: Relay,
) -> None:
    agent_run_id = await add_run(sessions)
    async with RunStream(shaky) as stream:
        for number in range(4):
            relay.lost_answer_count = 1
            # Reason: the same text again and again must not pass for what was stored before.
            stream.put_token(agent_run_id, "ha", attempt=1, step=1)
            await stream.drain(agent_run_id)
            assert relay.lost_answer_count == 0
            assert text_of(await read(sessions, agent_run_id)) == "ha" * (number + 1)


async def test_a_broken_connection_before_the_commit_loses_nothing(
    sessions: Sessions,
    shaky: Sessions,
    relay: Relay,
) -> None:
    agent_run_id = await add_run(sessions)
    async with RunStream(shaky) as stream:
        for number in range(60):
            stream.put_token(agent_run_id, f"{number} ", attempt=1, step=1)
            if number % 10 == 5:
                relay.cut()
                relay.mend()
            await asyncio.sleep(0.004)
        await stream.drain(agent_run_id)
    assert text_of(await read(sessions, agent_run_id)) == "".join(f"{n} " for n in range(60))


async def test_watchers_outlast_an_outage(
    sessions: Sessions,
    shaky: Sessions,
    relay: Relay,
) -> None:
    agent_run_id = await add_run(sessions)
    async with sessions() as session:
        run = await RunEventRepository(session).owner_of(agent_run_id, None)
    assert run is not None
    feed = RunFeed(shaky, relay.database_url)
    await feed.start()
    try:
        async with asyncio.timeout(100), aclosing(feed.follow(run, 0, 15)) as batches:
            await append(sessions, agent_run_id, step(1))
            assert [message.seq for message in await anext(batches)] == [1]
            relay.cut()
            await append(sessions, agent_run_id, step(2))
            await asyncio.sleep(0.2)
            relay.mend()
            assert [message.seq for message in await anext(batches)] == [2]
            await finish(sessions, agent_run_id)
            assert [message.is_last async for batch in batches for message in batch] == [True]
    finally:
        await feed.stop()


WRITER = """
import asyncio, sys
from uuid import UUID
from services.agents.token_stream import RunStream
from api.streaming.run_feed import RunFeed
from database.session import make_engine, make_sessions

async def main(database_url, agent_run_id, attempt):
    async with RunStream(make_sessions(make_engine(database_url))) as stream:
        for number in range(100_000):
            stream.put_token(UUID(agent_run_id), f"{number} ", attempt=int(attempt), step=1)
            await asyncio.sleep(0.001)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_writers_leave_no_gap(database_url: str, sessions: Sessions) -> None:
    agent_run_id = await add_run(sessions)
    project = Path(__file__).parents[3]
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, database_url, str(agent_run_id), str(attempt)),
            cwd=project,
        )
        for attempt in (1, 2)
    ]
    for attempt, writer in enumerate(writers, start=1):
        count = 0
        async with asyncio.timeout(100):
            while count < 5:
                found = await read(sessions, agent_run_id)
                count = sum(event.event_data["attempt"] == attempt for event in found)
                await asyncio.sleep(0.01)
        writer.kill()
        await writer.wait()
    last = await append(sessions, agent_run_id, step(1))
    events = await read(sessions, agent_run_id)
    assert [event.seq for event in events] == list(range(1, last + 1))
    for attempt in (1, 2):
        told = text_of([each for each in events[:-1] if each.event_data["attempt"] == attempt])
        assert told == "".join(f"{number} " for number in range(told.count(" ")))
