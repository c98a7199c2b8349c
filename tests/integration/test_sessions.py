"""Sessions: reads need no transaction, and a closed connection is replaced before it is used."""

import asyncio
import time
import warnings
from collections.abc import Callable, Coroutine

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, ResourceClosedError

from database.session import Sessions, make_engine, make_sessions
from tests.support.lost_rows import describe_lost_rows


async def test_reads_are_transactions_of_their_own_and_writes_are_one(sessions: Sessions) -> None:
    now = text("SELECT now()")
    async with sessions() as session:
        assert await session.scalar(now) != await session.scalar(now)
    async with sessions.begin() as session:
        assert await session.scalar(now) == await session.scalar(now)


async def divide_in_a_transaction(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE left_over (id int)"))
        await session.execute(text("SELECT 1 / 0"))


async def test_what_fails_in_a_transaction_leaves_nothing(sessions: Sessions) -> None:
    with pytest.raises(DataError):
        await divide_in_a_transaction(sessions)
    async with sessions() as session:
        assert await session.scalar(text("SELECT to_regclass('left_over')")) is None


async def test_a_connection_that_the_server_closed_is_replaced(
    sessions: Sessions, database_url: str
) -> None:
    engine = make_engine(database_url, pool_size=1)
    pid, end = text("SELECT pg_backend_pid()"), text("SELECT pg_terminate_backend(:pid)")
    try:
        async with make_sessions(engine)() as session:
            old = await session.scalar(pid)
        async with sessions() as session:
            assert await session.scalar(end, {"pid": old})
            gone = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
            while await session.scalar(gone, {"pid": old}):
                pass
        async with make_sessions(engine)() as session:
            assert await session.scalar(pid) != old
    finally:
        await engine.dispose()


async def test_a_connection_that_was_closed_here_is_replaced(database_url: str) -> None:
    engine = make_engine(database_url, pool_size=1)
    pid = text("SELECT pg_backend_pid()")
    try:
        async with make_sessions(engine)() as session:
            old = await session.scalar(pid)
            raw = await (await session.connection()).get_raw_connection()
            ours = raw.driver_connection
        assert ours is not None
        await ours.close()
        async with make_sessions(engine)() as session:
            assert await session.scalar(pid) != old
    finally:
        await engine.dispose()


async def read(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(text("SELECT 1"))


async def write(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))


@pytest.mark.parametrize("work", [read, write])
@pytest.mark.parametrize("steps", range(10))
async def test_whatever_is_cancelled_gives_its_connection_back(
    database_url: str, work: Callable[[Sessions], Coroutine[None, None, None]], steps: int
) -> None:
    """Cancelled at each of its steps, also while a connection is being prepared for reads."""
    engine = make_engine(database_url, pool_size=1)
    sessions = make_sessions(engine)
    await write(sessions)
    with warnings.catch_warnings(record=True, action="always") as warned:
        task = asyncio.create_task(work(sessions))
        for _ in range(steps):
            # Reason: psycopg lets other tasks run, and so be cancelled, only after a busy time.
            time.sleep(0.05)  # noqa: ASYNC251
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task
        await asyncio.sleep(0)
    async with sessions.begin() as session:
        now = text("SELECT now()")
        assert await session.scalar(now) == await session.scalar(now)
    await engine.dispose()
    assert [str(each.message) for each in warned] == []


async def test_a_read_without_rows_tells_what_was_asked(sessions: Sessions) -> None:
    async with sessions() as session:
        result = await session.execute(text("SET application_name = 'probe'"))
        with pytest.raises(ResourceClosedError) as caught:
            result.all()
    told = describe_lost_rows(caught.value)
    assert told is not None
    assert "query: b\"SET application_name = 'probe'\"" in told
    assert "prepared: OrderedDict" in told
    assert describe_lost_rows(ValueError()) is None
