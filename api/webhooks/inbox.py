"""The inbox: many requests share one commit, and each is answered only after its own is through."""

import asyncio
from asyncio import Future, Queue, QueueFull, Task
from collections.abc import Sequence
from typing import NamedTuple

from api.webhooks.event_bodies import EventNames
from database.session import DATABASE_DOWN, Sessions
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from domain.errors import UnavailableError

BATCH_SIZE = 128
# Reason: while one batch commits, the next one is gathered and sent.
BATCHER_COUNT = 2
CAPACITY = 1_000


class _Waiting(NamedTuple):
    """An event that is not stored yet, and who waits for it."""

    event: IncomingEvent
    stored: "Future[None]"


class Inbox:
    """Writes webhook events in batches."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: Queue[_Waiting] = Queue(CAPACITY)
        self._batchers: list[Task[None]] = []

    async def start(self) -> None:
        """Begin to write."""
        self._batchers = [asyncio.create_task(self._run()) for _ in range(BATCHER_COUNT)]

    async def stop(self) -> None:
        """Write what still waits, and end."""
        await self._queue.join()
        for batcher in self._batchers:
            batcher.cancel()
        await asyncio.gather(*self._batchers, return_exceptions=True)

    async def put(self, names: EventNames, body: bytes) -> None:
        """Store an event; one that is there already counts as stored.

        Args:
            names: What it is stored under, and why it is stored as failed, if it is.
            body: The event as it came.

        Raises:
            UnavailableError: More events wait than can be written (`inbox_full`).
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        stored: Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(
                _Waiting(IncomingEvent(*names[:2], body, names.flaw), stored),
            )
        except QueueFull as error:
            message = "more events are waiting than can be written"
            raise UnavailableError(message, "inbox_full") from error
        await stored

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH_SIZE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._write(batch)
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with self._sessions.begin() as session:
                await WebhookInboxRepository(session).add([each.event for each in batch])
        except DATABASE_DOWN as error:
            _answer(batch, error)
        except Exception as error:  # noqa: BLE001 - goes to whoever waits for this very event
            if len(batch) == 1:
                _answer(batch, error)
                return
            # Reason: one bad event must fail alone.
            for each in batch:
                await self._write([each])
        else:
            _answer(batch, None)


def _answer(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for each in batch:
        if each.stored.done():  # whoever waited has left
            continue
        if error is None:
            each.stored.set_result(None)
        else:
            each.stored.set_exception(error)
