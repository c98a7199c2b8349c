"""Opens, serves and closes the WebSockets of all streams."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from api.auth.tickets import Identify, StreamClient
from api.errors import from_application
from api.streaming.watchers import Watcher, Watchers
from database.session import DATABASE_DOWN
from domain.errors import NotFoundError, TooManyRequestsError, UnauthorizedError

# Time after which a client that receives nothing is dropped.
SEND_SECONDS = 20.0
# Time that such a client has to take the close frame.
CLOSE_SECONDS = 5.0

CLOSE_DONE = 1000
CLOSE_TRY_AGAIN = 1013
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NOT_FOUND = 4404

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)


Stream = Callable[[StreamClient, Watcher], Awaitable[None]]


async def admit(
    websocket: WebSocket,
    watchers: Watchers,
    identify: Identify,
    stream: Stream,
) -> None:
    """Accept a WebSocket and run its stream; close it with a code that tells the error.

    Args:
        websocket: Socket that is not accepted yet.
        watchers: Counts open streams; a stream too many is answered with 429, without an upgrade.
        identify: Identifies the client.
        stream: Serves the open socket.
    """
    try:
        visitor = await identify()
        with watchers.watching(visitor.caller) as watcher:
            await websocket.accept()
            await stream(visitor, watcher)
    except TooManyRequestsError as error:
        await websocket.send_denial_response(from_application(error, websocket.scope))
    except UnauthorizedError as error:
        await close(websocket, CLOSE_UNAUTHENTICATED, error.message)
    except NotFoundError as error:
        await close(websocket, CLOSE_NOT_FOUND, error.message)
    except _TRY_AGAIN:
        await close(websocket, CLOSE_TRY_AGAIN, "try again, with your last number as `after`")


async def serve(
    websocket: WebSocket,
    watcher: Watcher,
    sending_all: Coroutine[Any, Any, None],
) -> bool:
    """Send until the client disconnects or all messages are sent; end all tasks then.

    Returns:
        Whether all messages were sent.

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
    """Close a socket; ignore that it may be closed already."""
    # Reason: a client that receives nothing takes no close frame either.
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        if websocket.application_state is WebSocketState.CONNECTING:
            # Reason: browsers see only code 1006 if a socket is refused before it is accepted.
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
