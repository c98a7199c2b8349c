"""Fetching from the web: what can be read, in bounds, and never from our own network."""

import asyncio
import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest

from adapters import egress
from adapters import web_fetcher as pages
from adapters.egress import is_public
from adapters.tls import trusted
from adapters.web_fetcher import PageFetcher
from domain.errors import ApplicationError, InvalidInputError, UnavailableError
from domain.knowledge.charsets import decode_text
from domain.knowledge.files import SourceFile

MOST = 1_000
Answer = Callable[[str], bytes]


@asynccontextmanager
async def page(answer: Answer | bytes, port: int = 0) -> AsyncIterator[str]:
    """A web server in this network that answers by path."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode()
        writer.write(answer if isinstance(answer, bytes) else answer(path))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def reply(
    body: bytes = b"text", status: str = "200 OK", kind: str = "text/plain", **headers: str
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def redirect(to: str) -> bytes:
    return reply(b"", "302 Found", Location=to)


def fetcher(*allowed: str) -> PageFetcher:
    return PageFetcher(MOST, allowed or ("127.0.0.1",))


async def text_of(url: str, pages: PageFetcher | None = None) -> str:
    """Fetch a plain text, and decode it as it is declared."""
    file = (await (pages or fetcher()).fetch(url)).file
    return decode_text(file.body, file.charset)


async def code_of(url: str, pages: PageFetcher | None = None) -> str:
    with pytest.raises(ApplicationError) as caught:
        await (pages or fetcher()).fetch(url)
    assert caught.value.is_retryable == isinstance(caught.value, UnavailableError)
    return caught.value.error_code


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown; charset=utf-8", "TEXT/PLAIN"])
async def test_text_is_fetched(kind: str) -> None:
    async with page(reply("\ufeffgrün".encode(), kind=kind)) as url:
        found = await fetcher().fetch(f"{url}/a.md")
    assert found.url == f"{url}/a.md"
    assert found.file.body == "\ufeffgrün".encode()
    assert found.file.media_type == kind.partition(";")[0].lower()


@pytest.mark.parametrize(
    ("kind", "media_type", "charset"),
    [
        ("text/html; charset=ISO-8859-1", "text/html", "iso-8859-1"),
        ("application/xhtml+xml", "application/xhtml+xml", None),
        ("application/pdf", "application/pdf", None),
        ("application/octet-stream", "application/octet-stream", None),
        ("", "", None),
    ],
)
async def test_what_can_be_read_is_fetched(kind: str, media_type: str, charset: str | None) -> None:
    async with page(reply(b"body", kind=kind)) as url:
        found = await fetcher().fetch(url)
    assert found.file == SourceFile(b"body", media_type, charset)


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-32", None),
        ("utf-16", "utf-8"),
        ("utf-8-sig", "iso-8859-1"),
        ("utf-16-le", "utf-16le"),
        ("utf-16-be", "UTF-16BE"),
        ("latin-1", "iso-8859-1"),
        ("latin-1", '"ISO-8859-1"'),
        ("cp1252", "windows-1252"),
        ("utf-8", "nothing-known"),
        ("utf-8", "punycode"),
        ("utf-8", "base64"),
    ],
)
async def test_a_text_is_read_by_its_mark_or_its_header(encoding: str, charset: str | None) -> None:
    kind = f"text/plain; charset={charset}" if charset else "text/plain"
    async with page(reply("# grün".encode(encoding), kind=kind)) as url:
        assert await text_of(url) == "# grün"


async def test_slow_resolvers_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        is_over.wait()
        return [(0, 0, 0, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(
        egress, "socket", SimpleNamespace(**vars(socket) | {"getaddrinfo": resolve})
    )
    fetches = [asyncio.create_task(code_of("http://docs.example/x")) for _ in range(64)]
    try:
        async with asyncio.timeout(10):
            await asyncio.sleep(0.1)
            assert await asyncio.to_thread(lambda: 1) == 1
    finally:
        is_over.set()
        await asyncio.gather(*fetches)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(kind="image/png"), "document_type_unsupported"),
        (reply(kind="application/json"), "document_type_unsupported"),
        (reply(kind="text"), "document_type_unsupported"),
        (reply(gzip.compress(b"x"), Content_Encoding="gzip"), "document_type_unsupported"),
        (reply(b"x" * (MOST + 1)), "document_too_large"),
        (reply(status="404 Not Found"), "document_fetch_refused"),
        (reply(status="403 Forbidden"), "document_fetch_refused"),
        (reply(status="204 No Content"), "document_fetch_refused"),
        (reply(status="302 Found"), "document_fetch_refused"),
        (reply(status="500 Oops"), "document_unreachable"),
        (reply(status="429 Later"), "document_unreachable"),
        (b"this is no HTTP\r\n\r\n", "document_unreachable"),
        (redirect("ftp://127.0.0.1/x"), "document_address_refused"),
        (redirect("http://[oops/x"), "document_unreachable"),
        (redirect(f"http://{'x' * 64}.example/"), "document_address_refused"),
        (redirect("http://127.0.0.1:99999/"), "document_address_refused"),
        (redirect("http://:80/"), "document_fetch_refused"),
    ],
)
async def test_what_is_no_text_is_named(answer: bytes, code: str) -> None:
    async with page(answer) as url:
        assert await code_of(url) == code


async def test_a_body_without_end_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    async with page(head + b"x" * 10_000_000) as url:
        assert await code_of(url) == "document_too_large"


async def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TOTAL_SECONDS", 0.3)
    async with page(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nx"
    ) as (url):
        assert await code_of(url) == "document_unreachable"


async def test_nobody_there() -> None:
    assert await code_of("http://127.0.0.1:1/x") == "document_unreachable"
    assert await code_of("http://nothing.invalid/x") == "document_unreachable"


async def test_three_redirects_are_followed() -> None:
    def answer(path: str) -> bytes:
        count = int(path.strip("/"))
        return redirect(f"/{count - 1}") if count else reply(b"there")

    async with page(answer) as url:
        assert await text_of(f"{url}/3") == "there"
        assert await code_of(f"{url}/4") == "document_fetch_refused"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",  # noqa: S104
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
    ],
)
async def test_our_own_network_is_closed(host: str) -> None:
    async with page(reply()) as url:
        port = url.rpartition(":")[2]
        closed = PageFetcher(MOST, ("other.example",))
        assert await code_of(f"http://{host}:{port}/x", closed) == "document_address_refused"


@pytest.mark.parametrize("host", ["localhost", "[::1]", "169.254.169.254"])
async def test_a_redirect_into_our_network_is_refused(host: str) -> None:
    """The first host may be asked, and what it names is looked at again."""
    visits = []

    def secret(path: str) -> bytes:
        visits.append(path)
        return reply(b"secret")

    async with AsyncExitStack() as stack:
        inside = await stack.enter_async_context(page(secret))
        port = inside.rpartition(":")[2]
        outside = await stack.enter_async_context(page(redirect(f"http://{host}:{port}/secret")))
        assert await code_of(outside) == "document_address_refused"
    assert visits == []


async def test_the_address_that_was_looked_at_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that resolves otherwise the second time changes nothing: it is asked once."""
    asked = []

    def resolve(host: str, port: int | None, **options: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", port or 0))]

    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(reply(b"there"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(
        egress, "socket", SimpleNamespace(**vars(socket) | {"getaddrinfo": resolve})
    )
    async with server:
        assert await text_of(f"http://docs.example:{port}/x", fetcher("docs.example")) == "there"
    assert asked == ["docs.example"]
    assert f"Host: docs.example:{port}" in heads[0]


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_open(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("224.0.0.1", "240.0.0.1", "0.1.2.3", "192.0.0.8", "192.88.99.1", "198.18.0.1"),
        *("fe80::1%eth0", "fc00::1", "fec0::1", "2002::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:7f00:1", "64:ff9b::1", "ff02::1"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(address)


def test_errors_are_of_their_kind() -> None:
    assert not InvalidInputError("x").is_retryable
    assert httpx.URL("http://[::1]:80").host == "::1"


def test_certificates_and_names_of_servers_are_checked() -> None:
    context = trusted()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] > 0


# --- a list of domains


def reader(*domains: str) -> PageFetcher:
    """Return a fetcher that may go to these domains, all of them private."""
    return PageFetcher(MOST, ("localhost", "docs.example", "127.0.0.1"), domains)


async def test_only_pages_of_allowed_domains_are_fetched() -> None:
    async with page(reply(b"there")) as url:
        port = url.rpartition(":")[2]
        allowed = reader(f"localhost:{port}")
        assert await text_of(f"http://localhost:{port}/x", allowed) == "there"
        assert await text_of(f"http://LOCALHOST:{port}/x", allowed) == "there"
        for host, code in (
            ("127.0.0.1", "domain_not_allowed"),
            ("2130706433", "domain_not_allowed"),
            ("0x7f.1", "domain_not_allowed"),
            ("[::1]", "domain_not_allowed"),
            ("a.localhost", "domain_not_allowed"),
            ("localhost.evil.example", "domain_not_allowed"),
            ("localhost%2eevil.example", "domain_not_allowed"),
            ("localhost@127.0.0.1", "document_address_refused"),
            ("me:secret@localhost", "document_address_refused"),
            ("loc\u00e0lhost", "domain_not_allowed"),
        ):
            assert await code_of(f"http://{host}:{port}/x", allowed) == code, host
        assert await code_of(f"https://localhost:{port}/x", reader("localhost")) == (
            "domain_not_allowed"
        )
        assert await code_of("http://localhost:22/x", allowed) == "domain_not_allowed"
        assert await code_of("ftp://localhost/x", allowed) == "domain_not_allowed"
        assert await code_of("localhost", allowed) == "domain_not_allowed"
        assert await code_of(f"http://localhost:{port}/x", reader()) == "fetch_page_off"


async def test_each_redirect_has_to_be_allowed_too() -> None:
    visits = []

    def secret(path: str) -> bytes:
        visits.append(path)
        return reply(b"secret")

    async with AsyncExitStack() as stack:
        inside = (await stack.enter_async_context(page(secret))).rpartition(":")[2]
        for target, code in (
            (f"http://127.0.0.1:{inside}/", "domain_not_allowed"),
            (f"http://localhost:{inside}/", "domain_not_allowed"),
            (f"//docs.example:{inside}/", "domain_not_allowed"),
            ("http://me@localhost/", "document_address_refused"),
            ("file:///etc/passwd", "domain_not_allowed"),
        ):
            async with page(redirect(target)) as url:
                port = url.rpartition(":")[2]
                allowed = reader(f"localhost:{port}")
                assert await code_of(f"http://localhost:{port}/", allowed) == code, target
    assert visits == []


async def test_an_allowed_domain_must_be_public_all_the_same() -> None:
    async with page(reply(b"secret")) as url:
        port = url.rpartition(":")[2]
        closed = PageFetcher(MOST, (), (f"localhost:{port}",))
        assert await code_of(f"http://localhost:{port}/", closed) == "document_address_refused"


async def test_a_name_is_resolved_as_it_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of 2003 and of 2008 make different names of the same letters."""
    asked = []

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        raise socket.gaierror

    monkeypatch.setattr(
        egress, "socket", SimpleNamespace(**vars(socket) | {"getaddrinfo": resolve})
    )
    assert await code_of("http://stra\u00dfe.example/") == "document_unreachable"
    assert asked == ["xn--strae-oqa.example"]
