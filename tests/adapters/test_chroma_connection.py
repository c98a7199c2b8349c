"""The connection to Chroma: loaded late, bounded, checked, and each error in its class."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.chroma import connection
from adapters.chroma.client import ChromaCollection, Entry, open_chroma
from adapters.chroma.connection import open_connection
from domain.errors import ApplicationError, ProviderRejectedError, UnavailableError
from tests.adapters.test_web_fetcher import page, reply
from tests.conftest import ChromaServer, free_port

ROOT = Path(__file__).parents[2]
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
COLLECTIONS = f"{DATABASE}/collections"
ALL = {"where": {"user_id": "u"}}
ENTRY = Entry("1", [1.0, 0.0], "text", {"user_id": "u"})
WELCOME: dict[str, Any] = {
    "/api/v2/auth/identity": {"user_id": "", "tenant": "default_tenant", "databases": []},
    "/api/v2/tenants/default_tenant": {"name": "default_tenant"},
    DATABASE: {"id": str(uuid4()), "name": "default_database", "tenant": "default_tenant"},
    "/api/v2/pre-flight-checks": {"max_batch_size": 100, "supports_base64_encoding": False},
}


@asynccontextmanager
async def silent_after(answered: dict[str, Any]) -> AsyncIterator[str]:
    """A server that answers some paths, and keeps silent on all others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode().partition("?")[0]
        if path not in answered:
            await reader.read()
        else:
            writer.write(reply(json.dumps(answered[path]).encode(), kind="application/json"))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_worker_and_api_start_without_the_package() -> None:
    code = "import sys, worker, api.__main__, api.app; print('chromadb' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=100, check=True
    ).stdout
    assert output.strip() == b"False"


async def test_no_telemetry_is_sent_and_certificates_are_checked(chroma_url: str) -> None:
    async with open_connection(chroma_url) as opened:
        settings = (await opened.get()).get_settings()
    assert settings.anonymized_telemetry is False
    assert settings.chroma_otel_granularity is None
    assert settings.chroma_server_ssl_verify is True


@pytest.mark.parametrize("answered", [{}, WELCOME], ids=["from the start", "later"])
async def test_a_silent_server_is_an_outage(
    answered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT_SECONDS", 0.5)
    async with silent_after(answered) as url, open_chroma(url) as chroma, asyncio.timeout(100):
        calls: list[Coroutine[Any, Any, object]] = [
            chroma.list(ChromaCollection.PASSAGES, ALL) for _ in range(3)
        ]
        calls.append(chroma.delete(ChromaCollection.PASSAGES, ALL))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 4
        with pytest.raises(UnavailableError):
            await chroma.put(ChromaCollection.PASSAGES, "m", [ENTRY])
        with pytest.raises(UnavailableError):
            await chroma.search(ChromaCollection.PASSAGES, "m", [1.0, 0.0], "u", 3)


async def test_a_canceled_call_ends_at_once() -> None:
    async with silent_after(WELCOME) as url, open_chroma(url) as chroma, asyncio.timeout(100):
        call = asyncio.create_task(chroma.list(ChromaCollection.PASSAGES, ALL))
        await asyncio.sleep(0.5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def error(name: str) -> bytes:
    return json.dumps({"error": name, "message": "why"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("503 Service Unavailable", b"<html>", UnavailableError),
        ("503 Service Unavailable", error("ChromaError"), UnavailableError),
        ("500 Internal Server Error", error("InternalError"), UnavailableError),
        ("429 Too Many Requests", error("RateLimitError"), UnavailableError),
        ("429 Too Many Requests", b"slowly", UnavailableError),
        ("409 Conflict", error("UniqueConstraintError"), UnavailableError),
        ("408 Request Timeout", b"", UnavailableError),
        ("404 Not Found", error("NotFoundError"), UnavailableError),
        ("302 Found", b"", UnavailableError),
        ("200 OK", b"<html>", UnavailableError),
        ("400 Bad Request", error("InvalidArgumentError"), ProviderRejectedError),
        ("401 Unauthorized", error("AuthError"), ProviderRejectedError),
        ("403 Forbidden", b"<html>", ProviderRejectedError),
        ("413 Content Too Large", b"too large", ProviderRejectedError),
        ("422 Unprocessable Content", b"no", ProviderRejectedError),
    ],
)
@pytest.mark.parametrize("is_later", [False, True], ids=["at once", "later"])
async def test_answers_have_their_class(
    status: str, body: bytes, expected: type[ApplicationError], is_later: bool
) -> None:
    answered = WELCOME if is_later else {}

    def answer(path: str) -> bytes:
        if (known := path.partition("?")[0]) in answered:
            return reply(json.dumps(answered[known]).encode(), kind="application/json")
        return reply(body, status, "application/json")

    async with page(answer) as url, open_chroma(url) as chroma:
        with pytest.raises(expected) as caught:
            await chroma.list(ChromaCollection.PASSAGES, ALL)
    code = "chroma_unavailable" if expected is UnavailableError else "chroma_rejected"
    assert caught.value.error_code == code


async def test_what_the_package_refuses_by_itself_is_rejected(chroma_url: str) -> None:
    async with open_chroma(chroma_url) as chroma:
        with pytest.raises(ProviderRejectedError):
            await chroma.put(ChromaCollection.PASSAGES, "m", [ENTRY, ENTRY])


async def test_a_server_that_comes_late_and_goes_is_found_again(tmp_path: Path) -> None:
    server = ChromaServer(free_port(), tmp_path)
    async with open_chroma(server.url) as chroma:
        with pytest.raises(UnavailableError):
            await chroma.put(ChromaCollection.PASSAGES, "m", [ENTRY])
        try:
            await asyncio.to_thread(server.start)
            await chroma.put(ChromaCollection.PASSAGES, "m", [ENTRY])
            await asyncio.to_thread(server.kill)
            with pytest.raises(UnavailableError):
                await chroma.list(ChromaCollection.PASSAGES, ALL)
            await asyncio.to_thread(server.start)
            (found,) = await chroma.list(ChromaCollection.PASSAGES, ALL, has_text=True)
            assert found.text == "text"
        finally:
            server.kill()


async def test_embedding_functions_that_a_server_names_are_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from chromadb.utils.embedding_functions import known_embedding_functions  # noqa: PLC0415

    built = []

    class Planted:
        @staticmethod
        def build_from_config(config: dict[str, Any]) -> None:
            built.append(config)

    monkeypatch.setitem(known_embedding_functions, "planted", Planted)
    named = {"type": "known", "name": "planted", "config": {}}
    index = {"vector_index": {"enabled": True, "config": {"embedding_function": named}}}
    collection = {
        "id": str(uuid4()),
        "name": "passages-m-2",
        "tenant": "default_tenant",
        "database": "default_database",
        "configuration_json": {"embedding_function": named},
        "schema": {
            "defaults": {"float_list": index},
            "keys": {"#embedding": {"float_list": index}},
        },
    }
    answered = {**WELCOME, COLLECTIONS: collection, f"{COLLECTIONS}/{collection['id']}/upsert": {}}
    async with silent_after(answered) as url, open_chroma(url) as chroma:
        await chroma.put(ChromaCollection.PASSAGES, "m", [ENTRY])
    assert built == []
