"""What all who watch runs share: one ear for notices, and one reader for all runs.

A notice only says which runs to look at. The reader reads each of them once, for all its watchers;
those who lag further behind than what is kept, or begin earlier, read the table by themselves. A
notice that is lost costs a second, for the reader looks at all watched runs that often.
"""

import asyncio
import json
from asyncio import Event, Task
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, takewhile
from typing import NamedTuple
from uuid import UUID

import structlog

from database.agent_models import RunEvent
from database.listener import listening
from database.run_events import RUN_EVENTS_CHANNEL, RunEventRepository, WatchedRun
from database.session import DATABASE_DOWN, Sessions
from domain.errors import UnavailableError
from domain.run_events import RunEventKind

POLL_SECONDS = 1.0
READ_SECONDS = 5.0
# Waits between attempts to listen again; the last one repeats.
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
BATCH_SIZE = 200
# How many events of a run are kept for its watchers.
KEPT_COUNT = 256

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


class StreamMessage(NamedTuple):
    """An event, rendered once for all who watch."""

    seq: int
    kind: str
    body: str

    @property
    def is_last(self) -> bool:
        """Whether the run says nothing more."""
        return self.kind == RunEventKind.DONE


Messages = Sequence[StreamMessage]


class _Channel:
    """One watched run: its latest messages, and the means to wait for more."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.watcher_count = 0
        self.is_ended = False
        self._kept: deque[StreamMessage] = deque()
        self._kept_after = position
        self._moved = Event()

    def extend(self, messages: Messages) -> None:
        """Take what was read, and wake all who wait."""
        self._kept.extend(messages)
        while len(self._kept) > KEPT_COUNT:
            self._kept_after = self._kept.popleft().seq
        self.position = messages[-1].seq
        self.is_ended = messages[-1].is_last
        self._moved.set()
        self._moved = Event()

    def after(self, seq: int) -> Messages | None:
        """Return what came after a number; None if the table has to be asked."""
        if seq < self._kept_after:
            return None
        fresh = list(takewhile(lambda message: message.seq > seq, reversed(self._kept)))
        return fresh[::-1]

    async def moved(self, seconds: float) -> None:
        """Wait until there is more, for so long at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()


class _Reader:
    """Reads what is new in all watched runs, one statement for all of them."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._channels: dict[UUID, _Channel] = {}
        self._stale: set[UUID] = set()
        self._woken = Event()
        self._is_database_down = False

    @contextmanager
    def watching(self, run: WatchedRun) -> Iterator[_Channel]:
        """Share a run's channel, which is dropped with its last watcher."""
        channel = self._channels.get(run.agent_run_id)
        if channel is None:
            channel = self._channels[run.agent_run_id] = _Channel(run.last_event_seq)
            # Reason: something may have come between the reading of the run and this moment.
            self.wake([run.agent_run_id])
        channel.watcher_count += 1
        try:
            yield channel
        finally:
            channel.watcher_count -= 1
            if not channel.watcher_count:
                del self._channels[run.agent_run_id]

    def wake(self, agent_run_ids: Iterable[UUID] | None = None) -> None:
        """Look at some runs at once; at all that are watched, for None."""
        watched = self._channels.keys()
        self._stale |= watched if agent_run_ids is None else watched & set(agent_run_ids)
        if self._stale:
            self._woken.set()

    async def run(self) -> None:
        """Read for ever."""
        clock = asyncio.get_running_loop()
        next_poll = clock.time() + POLL_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_poll):
                    await self._woken.wait()
            if clock.time() >= next_poll:
                self.wake()
                next_poll = clock.time() + POLL_SECONDS
            self._woken.clear()
            try:
                await self._turn()
                self._is_database_down = False
            except _TRY_AGAIN as error:
                if not self._is_database_down:
                    log.warning("run_feed_waits_for_database", error=type(error).__name__)
                self._is_database_down = True
            except Exception:
                log.exception("run_feed_turn_failed")

    async def _turn(self) -> None:
        stale, self._stale = self._stale, set()
        # Reason: a channel may be dropped, and another one opened, while this reads.
        channels = {
            run: channel
            for run, channel in self._channels.items()
            if run in stale and not channel.is_ended
        }
        if not channels:
            return
        places = {run: channel.position for run, channel in channels.items()}
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            events = await RunEventRepository(session).list_many(places, BATCH_SIZE)
        for run, found in groupby(events, key=lambda event: event.agent_run_id):
            messages = [_message(event) for event in found]
            channels[run].extend(messages)
            if len(messages) == BATCH_SIZE:
                self.wake([run])


class RunFeed:
    """Tells watchers what happens to runs; one in an API process.

    Args:
        sessions: Where events are read.
        database_url: Where notices are heard.
    """

    def __init__(self, sessions: Sessions, database_url: str) -> None:
        self._sessions = sessions
        self._reader = _Reader(sessions)
        self._database_url = database_url
        self._tasks: list[Task[None]] = []

    async def start(self) -> None:
        """Begin to listen and to read."""
        ear = _listen(self._database_url, self._reader)
        self._tasks = [asyncio.create_task(ear), asyncio.create_task(self._reader.run())]

    async def stop(self) -> None:
        """End both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def follow(
        self,
        run: WatchedRun,
        after: int,
        idle_seconds: float = 15.0,
    ) -> AsyncGenerator[Messages, None]:
        """Tell all that happened to a run after a number, and go on until its end.

        Close it (`aclosing`), or its place in the feed is kept.

        Args:
            run: As it was read before.
            after: The last number that the watcher has.
            idle_seconds: How long to be silent at the most.

        Yields:
            Messages in order and with no gap; none of them after `idle_seconds` without any.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`, or TimeoutError.
        """
        if run.completed_at is not None:
            while messages := await self._read(run.agent_run_id, after):
                yield messages
                after = messages[-1].seq
            return
        # Reason: registered before the first read, it misses nothing that is committed after it.
        with self._reader.watching(run) as channel:
            while True:
                found = channel.after(after)
                if found is None:
                    found = await self._read(run.agent_run_id, after)
                    if not found:  # these rows were erased, and are not waited for
                        after = channel.position
                elif not found:
                    if channel.is_ended:
                        return
                    await channel.moved(idle_seconds)
                    found = channel.after(after) or ()
                yield found
                if found:
                    after = found[-1].seq
                    if found[-1].is_last:
                        return

    async def _read(self, agent_run_id: UUID, after: int) -> Messages:
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            events = await RunEventRepository(session).list(agent_run_id, after, BATCH_SIZE)
        return [_message(event) for event in events]


async def _listen(database_url: str, reader: _Reader) -> None:
    """Wake the reader at each notice; on and on, whatever becomes of the connection."""
    failure_count = 0
    while True:
        try:
            async with listening(database_url, RUN_EVENTS_CHANNEL) as payloads:
                if failure_count:
                    log.info("run_feed_listens_again")
                failure_count = 0
                reader.wake()  # for what was said while nobody listened
                async for payload in payloads:
                    reader.wake(_run_ids(payload))
        except UnavailableError as error:
            if not failure_count:
                log.warning("run_feed_hears_nothing", error=str(error.__cause__))
        except Exception:
            log.exception("run_feed_listening_failed")
        await asyncio.sleep(BACKOFF_SECONDS[min(failure_count, len(BACKOFF_SECONDS) - 1)])
        failure_count += 1


def _run_ids(payload: str) -> list[UUID]:
    return [UUID(each) for each in payload.split(",")]


def _message(event: RunEvent) -> StreamMessage:
    body = {
        "seq": event.seq,
        "kind": event.kind,
        "data": event.event_data,
        "created_at": event.created_at.isoformat(),
    }
    # Reason: in ASCII, for many clients cut server-sent events at any of Unicode's line ends.
    text = json.dumps(body, separators=(",", ":"))
    return StreamMessage(event.seq, event.kind, text)
