"""A small HTTP server for what monitoring asks a process, on a port that is not public."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import structlog

ANSWER_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Page(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


Pages = Mapping[str, Callable[[], Awaitable[Page]]]


@asynccontextmanager
async def serving_status(host: str, port: int | None, pages: Pages) -> AsyncIterator[None]:
    """Serve pages from a thread; each is made in the event loop, so that it tells of its life.

    Args:
        host: Where to listen.
        port: On which port; None serves nothing.
        pages: What is shown, by path.

    Yields:
        While it is served.

    Raises:
        OSError: The port is taken.
    """
    if port is None:
        yield
        return
    server = ThreadingHTTPServer((host, port), _handler(asyncio.get_running_loop(), pages))
    server.daemon_threads = True
    serving = Thread(target=server.serve_forever, name="status", daemon=True)
    serving.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _handler(
    loop: asyncio.AbstractEventLoop,
    pages: Pages,
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = ANSWER_SECONDS

        def do_GET(self) -> None:
            make = pages.get(self.path.partition("?")[0])
            page = Page(b'{"status":"unknown"}', status=404) if make is None else _made(loop, make)
            self.send_response_only(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks here asks all the time."""

    return Handler


def _made(loop: asyncio.AbstractEventLoop, make: Callable[[], Awaitable[Page]]) -> Page:
    async def made() -> Page:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await make()

    asked = asyncio.run_coroutine_threadsafe(made(), loop)
    try:
        return asked.result(ANSWER_SECONDS + 1)
    except Exception:
        asked.cancel()
        log.exception("status_page_failed")
        return Page(b'{"status":"down"}', status=503)
