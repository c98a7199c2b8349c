"""What happens to a run of an agent: its tokens, its steps, and what it asks of people."""

import asyncio
from contextlib import aclosing
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, WebSocket
from starlette.requests import HTTPConnection

from api.auth.tickets import IdentifyDep, Visitor
from api.deps import Caller, SessionsDep
from api.lookup import found
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
    """Return the process's one feed."""
    return cast("RunFeed", connection.app.state.run_feed)


RunFeedDep = Annotated[RunFeed, Depends(get_run_feed)]


async def find_run(sessions: Sessions, agent_run_id: str, caller: Caller) -> WatchedRun:
    """Return the run that a caller wants to watch.

    Raises:
        NotFoundError: There is none of this caller.
    """
    try:
        wanted = UUID(agent_run_id)
    except ValueError as error:
        raise NotFoundError("there is no such agent run") from error
    async with sessions() as session:
        run = await RunEventRepository(session).owner_of(wanted, caller.scope)
    return found(run, "agent run")


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
    """Send a run's events with a number above `after`, and go on until its end."""

    async def stream(visitor: Visitor, watcher: Watcher) -> None:
        run = await find_run(sessions, agent_run_id, visitor.caller)
        await visitor.enter(sessions, run.agent_run_id)
        if await sockets.serve(websocket, watcher, _send_all(websocket, feed, run, after)):
            await visitor.leave_for_good(sessions)

    await sockets.admit(websocket, watchers, identify, stream)


async def _send_all(websocket: WebSocket, feed: RunFeed, run: WatchedRun, after: int) -> None:
    """Send messages in order, and close the socket after the last one.

    Raises:
        TimeoutError: The client takes nothing any more.
    """
    async with aclosing(feed.follow(run, after, IDLE_SECONDS)) as batches:
        async for batch in batches:
            async with asyncio.timeout(sockets.SEND_SECONDS):
                for message in batch:
                    await websocket.send_text(message.body)
    await sockets.close(websocket, sockets.CLOSE_DONE, "the run has ended")
