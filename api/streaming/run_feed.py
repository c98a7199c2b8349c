"""Feed of the events of runs: one LISTEN connection and one reader per process.

A notification of the database only names the runs that have new events. A lost notification delays
them by at most a second, because the reader also polls all watched runs.
"""

import asyncio
import json
from asyncio import Task
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

import structlog

from api.streaming.feed import Messages, Reader, StreamMessage, follow
from database.agents.models import RunEvent
from database.agents.run_events import RUN_EVENTS_CHANNEL, RunEventRepository, WatchedRun
from database.listener import listening
from database.session import Session, Sessions
from domain.errors import UnavailableError

POLL_SECONDS = 1.0
# Pauses between attempts to listen again; the last one repeats.
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger(__name__)


class RunFeed:
    """Sends events of runs to all watchers; one instance per API process.

    Args:
        sessions: Factory of database sessions.
        database_url: Database that sends notifications.
    """

    def __init__(self, sessions: Sessions, database_url: str) -> None:
        self._reader = Reader(sessions, _read_many, POLL_SECONDS)
        self._database_url = database_url
        self._tasks: list[Task[None]] = []

    async def start(self) -> None:
        """Start listening and reading."""
        listener = _listen(self._database_url, self._reader)
        self._tasks = [asyncio.create_task(listener), asyncio.create_task(self._reader.run())]

    async def stop(self) -> None:
        """Stop listening and reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def follow(
        self,
        run: WatchedRun,
        after: int,
        idle_seconds: float,
    ) -> AsyncGenerator[Messages, None]:
        """Yield the messages of a run after a number, until the last one.

        Close the generator (`aclosing`), or its channel is never removed.

        Args:
            run: Run as read from its row.
            after: Number of the last event that the watcher has.
            idle_seconds: Maximum time without a batch.

        Yields:
            Batches in order and without gaps; an empty one after `idle_seconds` without messages.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`, or TimeoutError.
        """
        if run.completed_at is not None:
            while messages := await self._reader.read(run.agent_run_id, after):
                yield messages
                after = messages[-1].seq
            return
        live = follow(self._reader, run.agent_run_id, run.last_event_seq, after, idle_seconds)
        async with aclosing(live) as batches:
            async for batch in batches:
                yield batch


async def _read_many(
    session: Session,
    positions: Mapping[UUID, int],
    limit: int,
) -> Sequence[tuple[UUID, StreamMessage]]:
    events = await RunEventRepository(session).list_many(positions, limit)
    return [(event.agent_run_id, _message(event)) for event in events]


async def _listen(database_url: str, reader: Reader) -> None:
    """Wake the reader at each notification, and reconnect whenever the connection fails."""
    failure_count = 0
    while True:
        try:
            async with listening(database_url, RUN_EVENTS_CHANNEL) as payloads:
                if failure_count:
                    log.info("run_feed_listens_again")
                failure_count = 0
                reader.wake()  # for notifications that were missed meanwhile
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
    # Reason: as ASCII, because many clients split server-sent events at Unicode line breaks.
    text = json.dumps(body, separators=(",", ":"))
    return StreamMessage(event.seq, event.kind, text)
