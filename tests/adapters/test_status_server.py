"""The status port: one that is taken, and clients that do not wait for their answer."""

import asyncio
import socket
import struct

import pytest
from structlog.testing import capture_logs

from adapters.status_server import Page, check_port, serve_status
from domain.errors import UnavailableError
from tests.conftest import free_port

HOST = "127.0.0.1"


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        reason = f"STATUS_PORT: cannot listen on {HOST}:{port}: "
        with pytest.raises(UnavailableError, match=reason):
            check_port(HOST, port)
        with pytest.raises(UnavailableError, match=reason):
            async with serve_status(HOST, port, {}):
                pass
    check_port(HOST, None)
    check_port(HOST, free_port())


async def test_a_client_that_has_gone_is_one_line() -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Page:
        asked.set()
        await release.wait()
        return Page(b"x" * 10_000_000)

    port = free_port()
    with capture_logs() as lines:
        async with serve_status(HOST, port, {"/metrics": slow}):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()
            await asked.wait()
            # Reason: with a linger of zero the connection is reset, and not closed in order.
            kept = writer.get_extra_info("socket")
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            await asyncio.sleep(0.1)
            release.set()
            async with asyncio.timeout(30):
                while not lines:  # noqa: ASYNC110 - a line is no event
                    await asyncio.sleep(0.01)
    assert [line["event"] for line in lines] == ["status_request_failed"]
    assert "Error" in lines[0]["reason"]
