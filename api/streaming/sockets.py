"""What all WebSockets have in common: how they are served, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from database.session import DATABASE_DOWN
from domain.errors import NotFoundError, UnauthorizedError

# How long a client may take nothing before it is dropped.
SEND_SECONDS = 20.0
# How long it may then still ask for the closing frame.
CLOSE_SECONDS = 5.0

CLOSE_DONE = 1000
CLOSE_TRY_AGAIN = 1013
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NOT_FOUND = 4404

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)


@asynccontextmanager
async def accepted(websocket: WebSocket) -> AsyncIterator[None]:
    """Open a socket, and close it with the code of what goes wrong inside."""
    # Reason: a socket refused before it was accepted shows browsers no code but 1006.
    await websocket.accept()
    try:
        yield
    except UnauthorizedError as error:
        await close(websocket, CLOSE_UNAUTHENTICATED, error.message)
    except NotFoundError as error:
        await close(websocket, CLOSE_NOT_FOUND, error.message)
    except _TRY_AGAIN:
        await close(websocket, CLOSE_TRY_AGAIN, "try again, from the last number that you have")


async def serve(websocket: WebSocket, sending_all: Coroutine[Any, Any, None]) -> None:
    """Send until the client leaves or all is told; neither leaves a task behind."""
    sending = asyncio.create_task(sending_all)
    leaving = asyncio.create_task(_until_gone(websocket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            with suppress(WebSocketDisconnect, RuntimeError):
                await sending
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close a socket that may be gone already."""
    if websocket.application_state is WebSocketState.CONNECTED:
        # Reason: a client that takes nothing takes no closing frame either.
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await websocket.close(code, reason)


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive()
