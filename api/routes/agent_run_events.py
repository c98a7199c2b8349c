"""Route that streams the events of a run as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Message, Receive, Scope, Send

from api.auth.tickets import IdentifyDep, StreamClient
from api.deps import SessionsDep
from api.http.routing import ApiRouter
from api.openapi.problems import TOO_MANY_STREAMS, WRONG_TICKET, no_such, problems
from api.schemas.common import SEQ_MAX
from api.streaming import sockets
from api.streaming.agent_runs import RunFeedDep, find_run
from api.streaming.feed import Messages, StreamMessage
from api.streaming.watchers import Watcher, WatchersDep
from database.session import DATABASE_DOWN

# Reason: proxies close connections that are silent for half a minute or more.
KEEP_ALIVE_SECONDS = 15.0
# Delay until a stream reacts to a revocation, in addition to the interval of the check.
TICK_SECONDS = 1.0

# In OpenAPI before 3.2, the schema of a stream describes each of its events.
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The run's events, until `done`.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "pattern": "^[0-9]+$"},
                        "event": {"type": "string"},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                    "required": ["id", "event", "data"],
                },
            },
        },
    },
}

router = ApiRouter(prefix="/agent-runs", tags=["streams"])


class EventStream(StreamingResponse):
    """Response of server-sent events that proxies do not buffer; closes its source at the end."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[bytes, None], leave: Callable[[], None]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._content = content
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events, then stop counting the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()

    async def stream_response(self, send: Send) -> None:
        """Send all events; drop a client that does not receive them."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(sockets.SEND_SECONDS):
                await send(message)

        # Reason: it is too late for a problem document. The stream breaks off, so that the client
        # reconnects with the last number that it has.
        with suppress(TimeoutError, *DATABASE_DOWN):
            async with aclosing(self._content):
                await super().stream_response(send_in_time)


async def _visitor(identify: IdentifyDep) -> StreamClient:
    return await identify()


@router.get(
    "/{agent_run_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=_EVENTS | problems(WRONG_TICKET, no_such("agent run"), TOO_MANY_STREAMS),
    openapi_extra={"security": [{"OAuth2PasswordBearer": []}, {"APIKeyHeader": []}]},
)
async def stream_agent_run_events(
    agent_run_id: Annotated[str, Path(max_length=100)],
    visitor: Annotated[StreamClient, Depends(_visitor)],
    sessions: SessionsDep,
    feed: RunFeedDep,
    watchers: WatchersDep,
    after: Annotated[
        int, Query(ge=0, le=SEQ_MAX, description="Only events with a greater number.")
    ] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=SEQ_MAX)] = None,
) -> EventStream:
    """Stream the events of a run, from any number on and without gaps, until the run has ended.

    `id` is the number of the event, `event` its kind, and `data` the same message as on the
    WebSocket. `done` is the last event: close an `EventSource` then, or it reconnects. The header
    `Last-Event-ID` takes precedence over `after`.
    """
    run = await find_run(sessions, agent_run_id, visitor.caller)
    await visitor.enter(sessions, run.agent_run_id)
    batches = feed.follow(run, after if last_event_id is None else last_event_id, TICK_SECONDS)

    async def lines(watcher: Watcher) -> AsyncGenerator[bytes, None]:
        async with aclosing(_lines(batches, watcher)) as rendered:
            async for line in rendered:
                yield line
        if not watcher.revoked.is_set():
            await visitor.end_ticket(sessions)

    watcher = watchers.enter(visitor.caller)
    return EventStream(lines(watcher), partial(watchers.leave, watcher))


async def _lines(
    following: AsyncGenerator[Messages, None],
    watcher: Watcher,
) -> AsyncGenerator[bytes, None]:
    """Render events, until the last one or until the credential is revoked."""
    clock = asyncio.get_running_loop()
    sent_at = clock.time()
    async with aclosing(following) as batches:
        async for batch in batches:
            if watcher.revoked.is_set():
                return
            if batch or clock.time() - sent_at >= KEEP_ALIVE_SECONDS:
                yield b"".join(map(_event, batch)) or KEEPALIVE_COMMENT
                sent_at = clock.time()


def _event(message: StreamMessage) -> bytes:
    return format_sse_event(data_str=message.body, event=message.kind, id=str(message.seq))
