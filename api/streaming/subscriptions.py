"""What happens to a subscription."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket

from api.deps import Caller, SessionsDep, SettingsDep
from api.schemas.common import SEQ_MAX
from api.streaming.sockets import CLOSE_DONE, SEND_SECONDS, accepted, close, serve
from api.streaming.tickets import identify
from database.models import SubscriptionEvent
from database.session import Sessions
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.subscriptions import FINAL

POLL_SECONDS = 0.2
# How long a subscription that has ended stays silent before its stream ends.
LINGER_SECONDS = 1.0
BATCH_SIZE = 200

router = APIRouter()


@router.websocket("/ws/subscriptions/{subscription_id}")
async def stream_subscription(
    websocket: WebSocket,
    subscription_id: str,
    sessions: SessionsDep,
    settings: SettingsDep,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    ticket: Annotated[str | None, Query(max_length=2_000)] = None,
) -> None:
    """Send a subscription's events with a number above `after`, and go on as they happen."""
    async with accepted(websocket):
        caller = await identify(websocket, sessions, settings, ticket)
        is_final = await _find(sessions, subscription_id, caller)
        wanted = UUID(subscription_id)
        await serve(websocket, _send_all(websocket, sessions, wanted, after, is_final=is_final))


async def _find(sessions: Sessions, subscription_id: str, caller: Caller) -> bool:
    """Return whether the subscription has ended.

    Raises:
        NotFoundError: There is none of this caller.
    """
    with suppress(ValueError):
        async with sessions() as session:
            wanted = UUID(subscription_id)
            row = await SubscriptionRepository(session).get(wanted, caller.scope)
        if row is not None:
            return row.subscription_status in FINAL
    raise NotFoundError("there is no such subscription")


async def _send_all(
    websocket: WebSocket,
    sessions: Sessions,
    subscription_id: UUID,
    after: int,
    *,
    is_final: bool,
) -> None:
    """Send events in order; numbers have no gap, because they are taken under the row's lock.

    Raises:
        TimeoutError: The client takes nothing any more.
    """
    silent_seconds = 0.0
    while not is_final or silent_seconds < LINGER_SECONDS:
        # Reason: a poll is one indexed read that mostly finds nothing, and few people watch their
        # own billing. NOTIFY would cost every writer a global lock at commit and us a connection
        # that has to be watched, to save 100 ms on events that are minutes apart.
        events = await _read(sessions, subscription_id, after)
        for event in events:
            async with asyncio.timeout(SEND_SECONDS):
                await websocket.send_json(_message(event))
            after = event.seq
            is_final = is_final or _ends(event)
        silent_seconds = 0.0 if events else silent_seconds + POLL_SECONDS
        if len(events) < BATCH_SIZE:
            await asyncio.sleep(POLL_SECONDS)
    await close(websocket, CLOSE_DONE, "the subscription has ended")


async def _read(
    sessions: Sessions,
    subscription_id: UUID,
    after: int,
) -> Sequence[SubscriptionEvent]:
    async with sessions() as session:
        return await SubscriptionEventRepository(session).list(subscription_id, after, BATCH_SIZE)


def _message(event: SubscriptionEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "kind": event.kind,
        "data": {**event.event_data, "summary": event.summary},
        "created_at": event.occurred_at.isoformat(),
    }


def _ends(event: SubscriptionEvent) -> bool:
    return event.kind == "status_changed" and event.event_data.get("to") in FINAL
