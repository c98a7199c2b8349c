"""What happens to subscriptions, told to all who watch them."""

import asyncio
import json
from asyncio import Task
from collections.abc import AsyncGenerator, Mapping, Sequence
from uuid import UUID

from api.streaming.feed import Messages, Reader, StreamMessage, follow
from database.session import Session, Sessions
from database.subscriptions.models import SubscriptionEvent
from database.subscriptions.subscription_events import SubscriptionEventRepository
from domain.subscriptions.lifecycle import FINAL

# Reason: one poll is one statement for all watchers, and with none there is no poll. NOTIFY would
# cost every writer a global lock at commit, to save 100 ms on events that are minutes apart.
POLL_SECONDS = 0.2
STATUS_CHANGED = "status_changed"


class SubscriptionFeed:
    """Tells watchers what happens to subscriptions; one in an API process.

    Args:
        sessions: Where events are read.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._reader = Reader(sessions, _read_many, POLL_SECONDS)
        self._task: Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._reader.run())

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follow(
        self,
        subscription_id: UUID,
        last_seq: int,
        after: int,
        idle_seconds: float,
    ) -> AsyncGenerator[Messages, None]:
        """Tell all that happened to a subscription after a number, and go on without end.

        Args:
            subscription_id: Which.
            last_seq: The last number that it had when its row was read.
            after: The last number that the watcher has.
            idle_seconds: How long to be silent at the most.

        Returns:
            Batches in order and with no gap; an empty one after `idle_seconds` without any. Close
            it (`aclosing`), or its place in the feed is kept.
        """
        return follow(self._reader, subscription_id, last_seq, after, idle_seconds)


async def _read_many(
    session: Session,
    places: Mapping[UUID, int],
    limit: int,
) -> Sequence[tuple[UUID, StreamMessage]]:
    events = await SubscriptionEventRepository(session).list_many(places, limit)
    return [(event.subscription_id, _message(event)) for event in events]


def _message(event: SubscriptionEvent) -> StreamMessage:
    body = {
        "seq": event.seq,
        "kind": event.kind,
        "data": {**event.event_data, "summary": event.summary},
        "created_at": event.occurred_at.isoformat(),
    }
    is_final = event.kind == STATUS_CHANGED and event.event_data.get("to") in FINAL
    return StreamMessage(event.seq, event.kind, json.dumps(body, separators=(",", ":")), is_final)
