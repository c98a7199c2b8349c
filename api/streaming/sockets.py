"""What all WebSockets have in common: how they are served, and how they end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from api.auth.tickets import Identify, Visitor
from api.errors import from_application
from api.streaming.watchers import Watcher, Watchers
from database.session import DATABASE_DOWN
from domain.errors import NotFoundError, TooManyRequestsError, UnauthorizedError

# How long a client may take nothing before it is dropped.
SEND_SECONDS = 20.0
# How long it may then still ask for the closing frame.
CLOSE_SECONDS = 5.0

CLOSE_DONE = 1000
CLOSE_TRY_AGAIN = 1013
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NOT_FOUND = 4404

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)


Stream = Callable[[Visitor, Watcher], Awaitable[None]]


async def admit(
    websocket: WebSocket,
    watchers: Watchers,
    identify: Identify,
    stream: Stream,
) -> None:
    """Open a socket for a stream, and close it with the code of what goes wrong.

    Args:
        websocket: Not accepted yet.
        watchers: Counts it; one too many is answered with 429 instead of an upgrade.
        identify: Finds out who it is.
        stream: What to do with the open socket.
    """
    try:
        visitor = await identify()
        with watchers.watching(visitor.caller) as watcher:
            await websocket.accept()
            await stream(visitor, watcher)
    except TooManyRequestsError as error:
        await websocket.send_denial_response(from_application(error))
    except UnauthorizedError as error:
        await close(websocket, CLOSE_UNAUTHENTICATED, error.message)
    except NotFoundError as error:
        await close(websocket, CLOSE_NOT_FOUND, error.message)
    except _TRY_AGAIN:
        await close(websocket, CLOSE_TRY_AGAIN, "try again, from the last number that you have")


async def serve(
    websocket: WebSocket,
    watcher: Watcher,
    sending_all: Coroutine[Any, Any, None],
) -> bool:
    """Send until the client leaves or all is told; neither leaves a task behind.

    Returns:
        Whether all was told.

    Raises:
        UnauthorizedError: The client's credential was revoked.
    """
    sending = asyncio.create_task(sending_all)
    leaving = asyncio.create_task(_until_gone(websocket))
    revoking = asyncio.create_task(_until_revoked(watcher))
    tasks = {sending, leaving, revoking}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if revoking.done():
            await revoking
        if sending.done():
            with suppress(WebSocketDisconnect, RuntimeError):
                await sending
                return True
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close a socket that may be gone already."""
    # Reason: a client that takes nothing takes no closing frame either.
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        if websocket.application_state is WebSocketState.CONNECTING:
            # Reason: a socket refused before it was accepted shows browsers no code but 1006.
            await websocket.accept()
        if websocket.application_state is WebSocketState.CONNECTED:
            async with asyncio.timeout(CLOSE_SECONDS):
                await websocket.close(code, reason)


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive()


async def _until_revoked(watcher: Watcher) -> None:
    await watcher.revoked.wait()
    raise UnauthorizedError("the credential was revoked")
