"""Fan-out of events: one reader per process reads new events once for all watchers.

Watched resources are runs or subscriptions. Recent messages of each one are kept in memory;
watchers that lag further behind, or begin earlier, read the table separately.
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
# Maximum number of messages of a resource that are kept for its watchers.
KEPT_COUNT = 256

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


class StreamMessage(NamedTuple):
    """An event, rendered once for all watchers.

    Args:
        seq: Number of the event.
        kind: Kind of the event.
        body: JSON text to send.
        is_final: Whether the subscription has ended with this event; a few more may follow.
    """

    seq: int
    kind: str
    body: str
    is_final: bool = False

    @property
    def is_last(self) -> bool:
        """Whether no message follows this one."""
        return self.kind == RunEventKind.DONE


Messages = Sequence[StreamMessage]
# Reads the messages after a number of each resource, ordered by resource and number.
ReadMany = Callable[
    [Session, Mapping[UUID, int], int],
    Awaitable[Sequence[tuple[UUID, StreamMessage]]],
]


class Channel:
    """Latest messages of one watched resource, and a signal that there are more."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.watcher_count = 0
        self.is_ended = False
        self._kept: deque[StreamMessage] = deque()
        self._kept_after = position
        self._moved = Event()

    def extend(self, messages: Messages) -> None:
        """Add messages that were read, and wake all waiting watchers."""
        self._kept.extend(messages)
        while len(self._kept) > KEPT_COUNT:
            self._kept_after = self._kept.popleft().seq
        self.position = messages[-1].seq
        self.is_ended = messages[-1].is_last
        self._moved.set()
        self._moved = Event()

    def after(self, seq: int) -> Messages | None:
        """Return the messages after a number; None if only the table has them all."""
        if seq < self._kept_after:
            return None
        fresh = list(takewhile(lambda message: message.seq > seq, reversed(self._kept)))
        return fresh[::-1]

    async def moved(self, seconds: float) -> None:
        """Wait until there are more messages, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()


class Reader:
    """Reads new messages of all watched resources with one statement.

    Args:
        sessions: Factory of database sessions.
        read_many: Reads the messages of several resources.
        poll_seconds: Pause between reads if `wake` is not called.
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
    def watching(self, resource_id: UUID, last_seq: int) -> Iterator[Channel]:
        """Share the channel of a resource; its last watcher removes the channel."""
        channel = self._channels.get(resource_id)
        if channel is None:
            channel = self._channels[resource_id] = Channel(last_seq)
            # Reason: an event may have been committed since the row was read.
            self.wake([resource_id])
        channel.watcher_count += 1
        try:
            yield channel
        finally:
            channel.watcher_count -= 1
            if not channel.watcher_count:
                del self._channels[resource_id]

    def wake(self, resource_ids: Iterable[UUID] | None = None) -> None:
        """Read these resources at once; None reads all that are watched."""
        watched = self._channels.keys()
        self._stale |= watched if resource_ids is None else watched & set(resource_ids)
        if self._stale:
            self._woken.set()

    async def run(self) -> None:
        """Read new messages until the task is canceled."""
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
                await self._read_stale()
                self._is_database_down = False
            except _TRY_AGAIN as error:
                if not self._is_database_down:
                    log.warning("feed_waits_for_database", error=type(error).__name__)
                self._is_database_down = True
            except Exception:
                log.exception("feed_turn_failed")

    async def _read_stale(self) -> None:
        stale, self._stale = self._stale, set()
        # Reason: a channel may be removed, and another one opened, while this reads.
        channels = {
            resource: channel
            for resource, channel in self._channels.items()
            if resource in stale and not channel.is_ended
        }
        if not channels:
            return
        positions = {resource: channel.position for resource, channel in channels.items()}
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            pairs = await self._read_many(session, positions, BATCH_SIZE)
        for resource, group in groupby(pairs, key=lambda pair: pair[0]):
            messages = [message for _, message in group]
            channels[resource].extend(messages)
            if len(messages) == BATCH_SIZE:
                self.wake([resource])

    async def read(self, resource_id: UUID, after: int) -> Messages:
        """Return the messages after a number, for one watcher."""
        async with asyncio.timeout(READ_SECONDS), self._sessions() as session:
            pairs = await self._read_many(session, {resource_id: after}, BATCH_SIZE)
        return [message for _, message in pairs]


async def follow(
    reader: Reader,
    resource_id: UUID,
    last_seq: int,
    after: int,
    idle_seconds: float,
) -> AsyncGenerator[Messages, None]:
    """Yield the messages of a resource after a number, until the last one.

    Close the generator (`aclosing`), or its channel is never removed.

    Args:
        reader: Reader of the process.
        resource_id: Resource to watch.
        last_seq: Number of the resource's last event when its row was read.
        after: Number of the last event that the watcher has.
        idle_seconds: Maximum time without a batch.

    Yields:
        Batches in order and without gaps; an empty one after `idle_seconds` without messages.

    Raises:
        OperationalError: The database is down; the errors of `DATABASE_DOWN`, or TimeoutError.
    """
    # Reason: a channel that is registered before the first read misses no later commit.
    with reader.watching(resource_id, last_seq) as channel:
        while True:
            messages = channel.after(after)
            if messages is None:
                messages = await reader.read(resource_id, after)
                if not messages:  # these rows were deleted, and will not appear
                    after = channel.position
            elif not messages:
                if channel.is_ended:
                    return
                await channel.moved(idle_seconds)
                messages = channel.after(after) or ()
            yield messages
            if messages:
                after = messages[-1].seq
                if messages[-1].is_last:
                    return
