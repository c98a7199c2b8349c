"""Small HTTP server for the health and metrics of a process, on a port that is not public."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import structlog

from domain.errors import UnavailableError

ANSWER_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Page(NamedTuple):
    """Answer to a request."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


Pages = Mapping[str, Callable[[], Awaitable[Page]]]


@asynccontextmanager
async def serve_status(host: str, port: int | None, pages: Pages) -> AsyncIterator[None]:
    """Serve pages from a thread; the event loop makes each page, which shows that it runs.

    Args:
        host: Host to listen on.
        port: Port to listen on; None serves nothing.
        pages: Functions that make the pages, by path.

    Yields:
        None, while the pages are served.

    Raises:
        UnavailableError: The port is taken, or the host is not this machine's.
    """
    if port is None:
        yield
        return
    server = _listen(host, port, _handler(asyncio.get_running_loop(), pages))
    thread = Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def check_port(host: str, port: int | None) -> None:
    """Check that pages could be served.

    Args:
        host: Host to listen on.
        port: Port to listen on; None for none.

    Raises:
        UnavailableError: The port is taken, or the host is not this machine's.
    """
    if port is not None:
        _listen(host, port, BaseHTTPRequestHandler).server_close()


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> "_StatusServer":
    try:
        return _StatusServer((host, port), handler)
    except OSError as error:
        raise UnavailableError(
            f"STATUS_HOST and STATUS_PORT: cannot listen on {host}:{port}: {error.strerror}"
        ) from error


class _StatusServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log a request that failed, such as one whose client has gone, as one line."""
        log.warning("status_request_failed", reason=repr(sys.exception()))


def _handler(
    loop: asyncio.AbstractEventLoop,
    pages: Pages,
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = ANSWER_SECONDS

        def do_GET(self) -> None:
            make = pages.get(self.path.partition("?")[0])
            page = (
                Page(b'{"status":"unknown"}', status=404)
                if make is None
                else _make_page(loop, make)
            )
            self.send_response_only(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Log nothing, since monitoring sends requests all the time."""

    return Handler


def _make_page(loop: asyncio.AbstractEventLoop, make: Callable[[], Awaitable[Page]]) -> Page:
    async def make_in_time() -> Page:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await make()

    future = asyncio.run_coroutine_threadsafe(make_in_time(), loop)
    try:
        return future.result(ANSWER_SECONDS + 1)
    except Exception:
        future.cancel()
        log.exception("status_page_failed")
        return Page(b'{"status":"down"}', status=503)
