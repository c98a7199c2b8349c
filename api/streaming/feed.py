"""What all who watch runs, or subscriptions, share: one reader for all of them.

The reader reads each watched thing once, for all its watchers; those who lag further behind than
what is kept, or begin earlier, read the table by themselves.
"""

import asyncio
from asyncio import Event
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from itertools import groupby, takewhile
from typing import NamedTuple
from uuid import UUID

import structlog

from database.session import DATABASE_DOWN, Session, Sessions
from domain.agents.run_events import RunEventKind

READ_SECONDS = 5.0
BATCH_SIZE = 200
# How many messages of a thing are kept for its watchers.
KEPT_COUNT = 256

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


class StreamMessage(NamedTuple):
    """An event, rendered once for all who watch.

    Args:
        seq: Its number.
        kind: What it tells.
        body: What is sent.
        is_final: Whether the subscription has ended with it, and may still say a last word.
    """

    seq: int
    kind: str
    body: str
    is_final: bool = False

    @property
    def is_last(self) -> bool:
        """Whether nothing more is said."""
        return self.kind == RunEventKind.DONE


Messages = Sequence[StreamMessage]
# Reads what came after a number of each thing, ordered by thing and number.
ReadMany = Callable[
    [Session, Mapping[UUID, int], int],
    Awaitable[Sequence[tuple[UUID, StreamMessage]]],
]


class Channel:
    """One watched thing: its latest messages, and the means to wait for more."""

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


class Reader:
    """Reads what is new in all that is watched, one statement for all of it.

    Args:
        sessions: Where events are read.
        read_many: How.
        poll_seconds: How often to look without being woken.
    """

    def __init__(self, sessions: Sessions, read_many: ReadMany, poll_seconds: float) -> None:
        self._sessions = sessions
        self._read_many = read_many
        self._poll_seconds = poll_seconds
        self._channels: dict[UUID, Channel] = {}
        self._stale: set[UUID] = set()
        self._woken = Event()
        self._is_database_down = False

    @contextmanager
    def watching(self, thing_id: UUID, last_seq: int) -> Iterator[Channel]:
        """Share a thing's channel, which is dropped with its last watcher."""
        channel = self._channels.get(thing_id)
        if channel is None:
            channel = self._channels[thing_id] = Channel(last_seq)
            # Reason: something may have come between the reading of the row and this moment.
            self.wake([thing_id])
        channel.watcher_count += 1
        try:
            yield channel
        finally:
            channel.watcher_count -= 1
            if not channel.watcher_count:
                del self._channels[thing_id]

    def wake(self, thing_ids: Iterable[UUID] | None = None) -> None:
        """Look at some at once; at all that are watched, for None."""
        watched = self._channels.keys()
        self._stale |= watched if thing_ids is None else watched & set(thing_ids)
        if self._stale:
            self._woken.set()

    async def run(self) -> None:
        """Read for ever."""
        clock = asyncio.get_running_loop()
        next_poll = clock.time() + self._poll_seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_poll):
                    await self._woken.wait()
            if clock.time() >= next_poll:
                self.wake()
                next_poll = clock.time() + self._poll_seconds
            self._woken.clear()
            try:
                await self._turn()
                self._is_database_down = False
            except _TRY_AGAIN as error:
                if not self._is_database_down:
                    log.warning("feed_waits_for_database", error=type(error).__name__)
                self._is_database_down = True
            except Exception:
                log.exception("feed_turn_failed")

    async def _turn(self) -> None:
        stale, self._stale = self._stale, set()
        # Reason: a channel may be dropped, and another one opened, while this reads.
        channels = {
            thing: channel
            for thing, channel in self._channels.items()
            if thing in stale and not channel.is_ended
        }
        if not channels:
            return
        places = {thing: channel.position for thing, channel in channels.items()}
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            found = await self._read_many(session, places, BATCH_SIZE)
        for thing, group in groupby(found, key=lambda pair: pair[0]):
            messages = [message for _, message in group]
            channels[thing].extend(messages)
            if len(messages) == BATCH_SIZE:
                self.wake([thing])

    async def read(self, thing_id: UUID, after: int) -> Messages:
        """Return what came after a number, for one watcher alone."""
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            found = await self._read_many(session, {thing_id: after}, BATCH_SIZE)
        return [message for _, message in found]


async def follow(
    reader: Reader,
    thing_id: UUID,
    last_seq: int,
    after: int,
    idle_seconds: float,
) -> AsyncGenerator[Messages, None]:
    """Tell all that happened to a thing after a number, and go on until its end.

    Close it (`aclosing`), or its place in the feed is kept.

    Args:
        reader: Reads for all.
        thing_id: Which.
        last_seq: The last number that it had when its row was read.
        after: The last number that the watcher has.
        idle_seconds: How long to be silent at the most.

    Yields:
        Messages in order and with no gap; none of them after `idle_seconds` without any.

    Raises:
        OperationalError: The database is down; the errors of `DATABASE_DOWN`, or TimeoutError.
    """
    # Reason: registered before the first read, it misses nothing that is committed after it.
    with reader.watching(thing_id, last_seq) as channel:
        while True:
            found = channel.after(after)
            if found is None:
                found = await reader.read(thing_id, after)
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
