"""Stores webhook events: requests share a commit, and each is answered after its commit."""

import asyncio
from asyncio import Future, Queue, QueueFull, Task
from collections.abc import Sequence
from typing import NamedTuple

from api.webhooks.event_bodies import EventKey
from database.session import DATABASE_DOWN, Sessions
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from domain.errors import UnavailableError

BATCH_SIZE = 128
CAPACITY = 1_000


class _Waiting(NamedTuple):
    """An event that is not stored yet, and the future that its request awaits."""

    event: IncomingEvent
    stored: "Future[None]"


class Inbox:
    """Writes webhook events in batches."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: Queue[_Waiting] = Queue(CAPACITY)
        self._batcher: Task[None] | None = None

    async def start(self) -> None:
        """Start writing events."""
        # Reason: several tasks would write smaller batches, and each event would cost more.
        self._batcher = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write all waiting events, and stop."""
        await self._queue.join()
        if self._batcher is not None:
            self._batcher.cancel()
            await asyncio.gather(self._batcher, return_exceptions=True)

    async def put(self, names: EventKey, body: bytes) -> None:
        """Store an event; an event that is in the table already counts as stored.

        Args:
            names: Id and type of the event; an event with a flaw is stored as failed.
            body: Event as Stripe sent it.

        Raises:
            UnavailableError: Too many events wait to be written (`inbox_full`).
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        stored: Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(
                _Waiting(IncomingEvent(*names[:2], body, names.flaw), stored),
            )
        except QueueFull as error:
            message = "too many events are waiting to be written"
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
            _resolve(batch, error)
        except Exception as error:  # noqa: BLE001 - raised in the request of this event
            if len(batch) == 1:
                _resolve(batch, error)
                return
            # Reason: one bad event must fail alone.
            for each in batch:
                await self._write([each])
        else:
            _resolve(batch, None)


def _resolve(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for each in batch:
        if each.stored.done():  # the request was canceled
            continue
        if error is None:
            each.stored.set_result(None)
        else:
            each.stored.set_exception(error)
