"""What happens to a run of an agent, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query
from fastapi.responses import StreamingResponse
from starlette.requests import Request
from starlette.types import Message, Send

from api.deps import Caller, SessionsDep, SettingsDep
from api.routing import ApiRouter
from api.run_feed import RunFeed, StreamMessage
from api.schemas.common import SEQ_MAX, problems
from api.streaming import sockets
from api.streaming.agent_runs import RunFeedDep, find_run
from api.streaming.tickets import identify
from database.run_events import WatchedRun
from database.session import DATABASE_DOWN

# Reason: proxies cut connections that say nothing for half a minute or more.
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = ": keep-alive\n\n"

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
    """Server-sent events: not held back on the way, and closed with their source."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[str, None]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._content = content

    async def stream_response(self, send: Send) -> None:
        """Send all; a client that takes nothing any more is dropped."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(sockets.SEND_SECONDS):
                await send(message)

        # Reason: it is too late for a problem document. The stream breaks off, which tells the
        # client to come again with the last number that it has.
        with suppress(TimeoutError, *DATABASE_DOWN):
            async with aclosing(self._content):
                await super().stream_response(send_in_time)


async def _watcher(
    request: Request,
    sessions: SessionsDep,
    settings: SettingsDep,
    ticket: Annotated[
        str | None,
        Query(max_length=2_000, description="For browsers; of `POST auth/ticket`."),
    ] = None,
) -> Caller:
    return await identify(request, sessions, settings, ticket)


@router.get(
    "/{agent_run_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=_EVENTS | problems(401, 404, 422, 503),
    openapi_extra={"security": [{"OAuth2PasswordBearer": []}, {"APIKeyHeader": []}]},
)
async def stream_agent_run_events(
    agent_run_id: UUID,
    caller: Annotated[Caller, Depends(_watcher)],
    sessions: SessionsDep,
    feed: RunFeedDep,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX, description="Only what came later.")] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=SEQ_MAX)] = None,
) -> EventStream:
    """Tell what happens to a run, from any number on with no gap, until its end.

    `id` is the number, `event` the kind, and `data` the message as the WebSocket sends it. `done`
    comes last: close an `EventSource` then, or it asks again. `Last-Event-ID` beats `after`.
    """
    run = await find_run(sessions, agent_run_id, caller)
    return EventStream(_lines(feed, run, after if last_event_id is None else last_event_id))


async def _lines(feed: RunFeed, run: WatchedRun, after: int) -> AsyncGenerator[str, None]:
    async with aclosing(feed.follow(run, after, KEEP_ALIVE_SECONDS)) as batches:
        async for batch in batches:
            yield "".join(_event(message) for message in batch) or KEEP_ALIVE


def _event(message: StreamMessage) -> str:
    return f"id: {message.seq}\nevent: {message.kind}\ndata: {message.body}\n\n"
