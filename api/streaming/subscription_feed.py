"""Feed of the events of subscriptions: one polling reader per process."""

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

# Reason: a poll is one statement for all watchers, and there is none without watchers. NOTIFY would
# cost every writer a global lock at commit, to save 100 ms on events that are minutes apart.
POLL_SECONDS = 0.2
STATUS_CHANGED = "status_changed"


class SubscriptionFeed:
    """Sends events of subscriptions to all watchers; one instance per API process.

    Args:
        sessions: Factory of database sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._reader = Reader(sessions, _read_many, POLL_SECONDS)
        self._task: Task[None] | None = None

    async def start(self) -> None:
        """Start reading."""
        self._task = asyncio.create_task(self._reader.run())

    async def stop(self) -> None:
        """Stop reading."""
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
        """Follow the messages of a subscription after a number, without end.

        Args:
            subscription_id: Subscription to watch.
            last_seq: Number of its last event when its row was read.
            after: Number of the last event that the watcher has.
            idle_seconds: Maximum time without a batch.

        Returns:
            Generator of batches in order and without gaps; a batch is empty after `idle_seconds`
            without messages. Close the generator (`aclosing`), or its channel is never removed.
        """
        return follow(self._reader, subscription_id, last_seq, after, idle_seconds)


async def _read_many(
    session: Session,
    positions: Mapping[UUID, int],
    limit: int,
) -> Sequence[tuple[UUID, StreamMessage]]:
    events = await SubscriptionEventRepository(session).list_many(positions, limit)
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
