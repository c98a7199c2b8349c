"""`python -m sandbox.llm`: the stand-in for model providers as a server."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.llm.app import build
from sandbox.llm.exchange import TRANSPORT


class CuttableProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, letting a fault cut the connection."""

    def on_message_begin(self) -> None:
        """Put the connection within the application's reach."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[TRANSPORT] = self.transport


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.llm",
        description="A stand-in for OpenAI's and Anthropic's models that thinks by plain rules. "
        "Point either SDK's base address at it (OpenAI's ends in /v1); any key and any model name "
        "will do. Controls for tests are under /_sandbox/ (see README.md).",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8430, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of its database; made if missing"
    )
    parser.add_argument(
        "--token-seconds", type=float, default=0.005, help="time a token takes (%(default)s)"
    )
    return parser.parse_args(argv)


async def serve(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        build(given.data, given.token_seconds),
        host=given.host,
        port=given.port,
        http=CuttableProtocol,
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Run the server."""
    given = parse()
    # Reason: uvicorn raises the signal again after its shutdown; that is the end of a good run.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()
