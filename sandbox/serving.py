"""How the stand-ins serve: until they are told to end, and with connections that can be cut."""

import asyncio
import signal
import sys
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Where an application finds the connection of a request.
TRANSPORT = "sandbox.transport"


class CuttableProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, letting a fault cut the connection."""

    def on_message_begin(self) -> None:
        """Put the connection within the application's reach."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[TRANSPORT] = self.transport


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, and leave with 0.

    Args:
        app: What answers.
        host: Address to listen on.
        port: Port to listen on.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=CuttableProtocol,
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    # Reason: uvicorn raises the signal again after its shutdown; that is the end of a good run.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    asyncio.run(uvicorn.Server(config).serve())
