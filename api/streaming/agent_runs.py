"""WebSocket stream of a run's events: its tokens, steps and requests for approval."""

import asyncio
from contextlib import aclosing
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, WebSocket
from starlette.requests import HTTPConnection

from api.auth.tickets import IdentifyDep, StreamClient
from api.deps import Caller, SessionsDep
from api.lookup import or_404
from api.schemas.common import SEQ_MAX
from api.streaming import sockets
from api.streaming.run_feed import RunFeed
from api.streaming.watchers import Watcher, WatchersDep
from database.agents.run_events import RunEventRepository, WatchedRun
from database.session import Sessions
from domain.errors import NotFoundError

IDLE_SECONDS = 15.0

router = APIRouter()


def get_run_feed(connection: HTTPConnection) -> RunFeed:
    """Return the process's feed of run events."""
    return cast("RunFeed", connection.app.state.run_feed)


RunFeedDep = Annotated[RunFeed, Depends(get_run_feed)]


async def find_run(sessions: Sessions, agent_run_id: str, caller: Caller) -> WatchedRun:
    """Return the run that a caller wants to watch.

    Raises:
        NotFoundError: The run does not exist, or is not visible to the caller.
    """
    try:
        run_id = UUID(agent_run_id)
    except ValueError as error:
        raise NotFoundError("there is no such agent run") from error
    async with sessions() as session:
        run = await RunEventRepository(session).owner_of(run_id, caller.scope)
    return or_404(run, "agent run")


@router.websocket("/ws/agent-runs/{agent_run_id}")
async def stream_agent_run(
    websocket: WebSocket,
    agent_run_id: str,
    sessions: SessionsDep,
    feed: RunFeedDep,
    watchers: WatchersDep,
    identify: IdentifyDep,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
) -> None:
    """Send the events of a run with a number above `after`, until the run has ended."""

    async def stream(visitor: StreamClient, watcher: Watcher) -> None:
        run = await find_run(sessions, agent_run_id, visitor.caller)
        await visitor.enter(sessions, run.agent_run_id)
        if await sockets.serve(websocket, watcher, _send_all(websocket, feed, run, after)):
            await visitor.end_ticket(sessions)

    await sockets.admit(websocket, watchers, identify, stream)


async def _send_all(websocket: WebSocket, feed: RunFeed, run: WatchedRun, after: int) -> None:
    """Send messages in order, and close the socket after the last one.

    Raises:
        TimeoutError: The client does not receive any more.
    """
    async with aclosing(feed.follow(run, after, IDLE_SECONDS)) as batches:
        async for batch in batches:
            async with asyncio.timeout(sockets.SEND_SECONDS):
                for message in batch:
                    await websocket.send_text(message.body)
    await sockets.close(websocket, sockets.CLOSE_DONE, "the run has ended")
