"""WebSocket stream of a subscription's events."""

import asyncio
from contextlib import aclosing, suppress
from typing import Annotated, NamedTuple, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, WebSocket
from starlette.requests import HTTPConnection

from api.auth.tickets import IdentifyDep, StreamClient
from api.deps import Caller, SessionsDep
from api.schemas.common import SEQ_MAX
from api.streaming.sockets import CLOSE_DONE, SEND_SECONDS, admit, close, serve
from api.streaming.subscription_feed import SubscriptionFeed
from api.streaming.watchers import Watcher, WatchersDep
from database.session import Sessions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.subscriptions.lifecycle import FINAL

# Silence after the end of a subscription until its stream is closed.
LINGER_SECONDS = 1.0

router = APIRouter()


class _Watched(NamedTuple):
    """State of a subscription when its stream begins."""

    subscription_id: UUID
    last_event_seq: int
    is_final: bool


def get_subscription_feed(connection: HTTPConnection) -> SubscriptionFeed:
    """Return the process's feed of subscription events."""
    return cast("SubscriptionFeed", connection.app.state.subscription_feed)


SubscriptionFeedDep = Annotated[SubscriptionFeed, Depends(get_subscription_feed)]


@router.websocket("/ws/subscriptions/{subscription_id}")
async def stream_subscription(
    websocket: WebSocket,
    subscription_id: str,
    sessions: SessionsDep,
    feed: SubscriptionFeedDep,
    watchers: WatchersDep,
    identify: IdentifyDep,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
) -> None:
    """Send the events of a subscription with a number above `after`, until it has ended."""

    async def stream(visitor: StreamClient, watcher: Watcher) -> None:
        watched = await _find(sessions, subscription_id, visitor.caller)
        await visitor.enter(sessions, watched.subscription_id)
        if await serve(websocket, watcher, _send_all(websocket, feed, watched, after)):
            await visitor.end_ticket(sessions)

    await admit(websocket, watchers, identify, stream)


async def _find(sessions: Sessions, subscription_id: str, caller: Caller) -> _Watched:
    """Return the subscription that a caller wants to watch.

    Raises:
        NotFoundError: The subscription does not exist, or is not visible to the caller.
    """
    with suppress(ValueError):
        async with sessions() as session:
            known_id = UUID(subscription_id)
            row = await SubscriptionRepository(session).get(known_id, caller.scope)
        if row is not None:
            return _Watched(known_id, row.last_event_seq, row.subscription_status in FINAL)
    raise NotFoundError("there is no such subscription")


async def _send_all(
    websocket: WebSocket,
    feed: SubscriptionFeed,
    watched: _Watched,
    after: int,
) -> None:
    """Send events in order; numbers have no gaps, because they are taken under the row's lock.

    Raises:
        TimeoutError: The client does not receive any more.
    """
    is_final = watched.is_final
    following = feed.follow(watched.subscription_id, watched.last_event_seq, after, LINGER_SECONDS)
    async with aclosing(following) as batches:
        async for batch in batches:
            if is_final and not batch:
                break
            async with asyncio.timeout(SEND_SECONDS):
                for message in batch:
                    await websocket.send_text(message.body)
            is_final = is_final or any(message.is_final for message in batch)
    await close(websocket, CLOSE_DONE, "the subscription has ended")
