"""What happens to runs of agents, told to all who watch them.

A notice of the database only says which runs to look at. One that is lost costs a second, for the
reader looks at all watched runs that often.
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
# Waits between attempts to listen again; the last one repeats.
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger(__name__)


class RunFeed:
    """Tells watchers what happens to runs; one in an API process.

    Args:
        sessions: Where events are read.
        database_url: Where notices are heard.
    """

    def __init__(self, sessions: Sessions, database_url: str) -> None:
        self._reader = Reader(sessions, _read_many, POLL_SECONDS)
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
        idle_seconds: float,
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
    places: Mapping[UUID, int],
    limit: int,
) -> Sequence[tuple[UUID, StreamMessage]]:
    events = await RunEventRepository(session).list_many(places, limit)
    return [(event.agent_run_id, _message(event)) for event in events]


async def _listen(database_url: str, reader: Reader) -> None:
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
