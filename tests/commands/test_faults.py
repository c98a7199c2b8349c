"""What the commands do when the other side misbehaves, or a setting is no setting."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.console import Console
from temporalio.client import Client
from websockets.asyncio.server import ServerConnection, serve

from commands.admin import create_admin
from commands.replay.command import replay_command
from commands.resources import SUBSCRIPTION
from commands.watch.events import Watch, follow
from config import Settings
from domain.errors import InvalidInputError
from tests.conftest import free_port

HANGS_UP = b""
TLS_HANDSHAKE = b"\x16"
HTTP2_PREFACE = b"P"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def answering(answer: bytes, port: int) -> AsyncIterator[asyncio.Event]:
    """Listen, give everybody this answer, and hang up; the event tells that somebody came."""
    came = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        came.set()

    async with await asyncio.start_server(respond, "127.0.0.1", port):
        yield came


@pytest.mark.parametrize(
    ("answer", "cause"),
    [(HANGS_UP, " cannot be reached: "), (BAD_GATEWAY, " answers 502; ")],
    ids=["cut", "502"],
)
async def test_the_watch_outlives_an_api_that_is_started_again(answer: bytes, cause: str) -> None:
    port, asked = free_port(), list[str]()

    async def end(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        await connection.close(1000)

    console = Console(file=io.StringIO(), record=True, width=300)
    watch = Watch(f"http://127.0.0.1:{port}", "pk_x", SUBSCRIPTION, "x", after=4)
    async with asyncio.timeout(100):
        async with answering(answer, port) as came:
            watching = asyncio.create_task(follow(watch, console))
            await came.wait()
        async with serve(end, "127.0.0.1", port):
            await watching
    assert asked == ["/ws/subscriptions/x?after=4"]
    told = console.export_text()
    assert f"http://127.0.0.1:{port}{cause}" in told
    assert "trying again from event 4" in told


async def test_the_replay_speaks_tls_to_a_temporal_that_wants_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard = asyncio.Queue[bytes]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readexactly(1))
        writer.close()

    port = free_port()
    environ = {"TEMPORAL__ADDRESS": f"127.0.0.1:{port}", "TEMPORAL__API_KEY": "hidden"}
    async with await asyncio.start_server(listen, "127.0.0.1", port), asyncio.timeout(100):
        for is_tls, first in (("true", TLS_HANDSHAKE), ("false", HTTP2_PREFACE)):
            given = {**environ, "TEMPORAL__IS_TLS": is_tls}
            assert await replay_command("subscription-x", None, None, given) == 2
            assert heard.get_nowait() == first
    assert capsys.readouterr().err.count("Temporal cannot be reached") == 2


async def test_the_replay_asks_the_temporal_of_the_settings(
    dev_server: Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environ = {"TEMPORAL__ADDRESS": dev_server.service_client.config.target_host}
    assert await replay_command("subscription-x", None, None, environ) == 2
    assert "there is no workflow subscription-x at" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["mysql://a:hidden@h/x", "postgresql://a:hidden@h:x/x", "hidden"])
async def test_a_url_that_is_none_is_one_line_that_hides_it(settings: Settings, url: str) -> None:
    wrong = settings.model_copy(update={"database_url": url})
    with pytest.raises(InvalidInputError, match="DATABASE_URL is not") as caught:
        await create_admin(wrong, "a@example.com", None)
    assert "hidden" not in caught.value.message
