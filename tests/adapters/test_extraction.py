"""Texts of HTML and PDF are read in a child process, whatever the file does to it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from adapters.extraction import extractor as extraction
from adapters.extraction.extractor import Extractor
from adapters.extraction.limits import Limits
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.files import FileKind, FileText, SourceFile, page_of
from tests.conftest import PROJECT
from tests.support import pdfs

LIMITS = Limits(text_bytes=140_000, page_count=300, cpu_seconds=4, wall_seconds=60)
ARTICLE = """
<!doctype html><html><head><title>Trams &amp; buses</title></head><body>
<nav><a href="/">Home</a> <a href="/about">About the menu</a></nav>
<article><h1>Trams</h1><p>Trams are blue, and they leave every ten minutes from the square.</p>
<h2>Night</h2><p>After midnight a bus replaces the tram, once an hour, until five.</p>
<table><tr><th>Line</th><th>Colour</th></tr><tr><td>N7</td><td>violet</td></tr></table></article>
<script>var secret = 1;</script><footer>Cookie notice</footer></body></html>
"""


async def read(
    kind: FileKind, body: bytes, charset: str | None = None, limits: Limits = LIMITS
) -> FileText:
    return await Extractor(limits).extract(kind, SourceFile(body, "", charset))


async def refused(kind: FileKind, body: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(InvalidInputError) as caught:
        await read(kind, body, limits=limits)
    assert caught.value.message
    return caught.value.error_code


async def test_a_page_is_read_without_its_menu() -> None:
    found = await read(FileKind.HTML, ARTICLE.encode())
    assert found.title == "Trams & buses"
    assert "# Trams" in found.text
    assert "Trams are blue, and they leave every ten minutes" in found.text
    assert "## Night" in found.text
    assert "violet" in found.text
    for noise in ("About the menu", "secret", "<p>"):
        assert noise not in found.text


async def test_a_short_page_is_read_too() -> None:
    found = await read(FileKind.HTML, b"<html><body><div>Trams are blue.</div></body></html>")
    assert found == FileText("Trams are blue.", None)


@pytest.mark.parametrize(
    ("encoding", "declared", "meta"),
    [
        ("utf-8", None, ""),
        ("utf-8", "iso-8859-1", ""),
        ("utf-8", None, '<meta charset="iso-8859-1">'),
        ("utf-16", "utf-8", ""),
        ("latin-1", "iso-8859-1", ""),
        ("latin-1", None, '<meta charset="iso-8859-1">'),
        ("latin-1", "utf-8", ""),
        ("cp1252", "nothing-known", ""),
        (
            "iso-8859-15",
            None,
            '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-15">',
        ),
    ],
)
async def test_a_wrong_charset_is_seen_through(
    encoding: str, declared: str | None, meta: str
) -> None:
    page = f"<html><head>{meta}</head><body><p>Züge fahren grün über Brücken.</p></body></html>"
    found = await read(FileKind.HTML, page.encode(encoding), declared)
    assert found.text == "Züge fahren grün über Brücken."


async def test_a_pdf_is_read_page_by_page() -> None:
    found = await read(
        FileKind.PDF,
        pdfs.pdf("Trams are blue.\nThey leave early.", "", "Buses (are) red.", title="Lines"),
    )
    assert found.title == "Lines"
    assert "Trams are blue.\nThey leave early." in found.text
    assert page_of(found.text, found.text.index("Trams")) == 1
    assert page_of(found.text, found.text.index("Buses (are) red.")) == 3


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
async def test_a_pdf_with_a_password_is_named(algorithm: str) -> None:
    sound = pdfs.pdf("Trams are blue.")
    assert (
        await refused(FileKind.PDF, pdfs.encrypted(sound, "secret", algorithm))
        == "document_encrypted"
    )
    opened = await read(FileKind.PDF, pdfs.encrypted(sound, "", algorithm))
    assert opened.text == "Trams are blue."


def deep_pages(depth: int) -> bytes:
    """A tree of pages in which each node has one child, down to a page."""
    objects = [pdfs.CATALOG]
    objects += [
        b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % number for number in range(3, depth + 3)
    ]
    return pdfs.built([*objects, pdfs.page_object(depth + 3), pdfs.stream(pdfs.shown("deep"))])


def cyclic_pages() -> bytes:
    """A tree of pages that contains itself."""
    kids = [
        b"<< /Type /Pages /Kids [3 0 R] /Count 9 >>",
        b"<< /Type /Pages /Kids [2 0 R] /Count 9 >>",
    ]
    return pdfs.built([pdfs.CATALOG, *kids])


def nested_array(depth: int) -> bytes:
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdfs.built(
        [
            pdfs.CATALOG,
            pages,
            pdfs.page_object(4),
            pdfs.stream(b"[" * depth + b"]" * depth + b" TJ"),
        ]
    )


def self_drawing_form() -> bytes:
    """A form that draws itself, twice."""
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    page = (
        b"<< /Type /Page /Parent 2 0 R /Resources << /XObject << /X 5 0 R >> >> /Contents 4 0 R >>"
    )
    form = pdfs.stream(
        b"/X Do /X Do", b"/Type /XObject /Subtype /Form /Resources << /XObject << /X 5 0 R >> >>"
    )
    return pdfs.built([pdfs.CATALOG, pages, page, pdfs.stream(b"/X Do"), form])


def with_contents(contents: bytes) -> bytes:
    pages = b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>"
    return pdfs.built([pdfs.CATALOG, pages, pdfs.FONT, pdfs.page_object(5), contents])


def busy_pages() -> bytes:
    """Pages that take long: four hundred thousand lines of one letter."""
    return pdfs.pdf(*["\n".join("x" * 2_000)] * 200)


SOUND = pdfs.pdf("Trams are blue.", "Buses are red.")


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (pdfs.pdf("", ""), "document_without_text"),
        (pdfs.built([pdfs.CATALOG, b"<< /Type /Pages /Kids [] /Count 0 >>"]), "document_damaged"),
        (b"%PDF-1.7\n", "document_damaged"),
        (b"%PDF-1.7\n" + os.urandom(50_000), "document_damaged"),
        (SOUND[:300], "document_damaged document_without_text"),
        (SOUND.replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [9 0 R 8 0 R]"), "document_damaged"),
        (cyclic_pages(), "document_damaged document_too_complex"),
        (deep_pages(2_000), "document_too_complex"),
        (pdfs.pdf(*["x"] * 301), "document_too_complex"),
        (pdfs.pdf("long " * 30_000), "document_too_large"),
        (with_contents(pdfs.bomb(200_000_000)), "document_too_complex"),
        (with_contents(pdfs.bomb(70_000_000)), "document_too_complex document_without_text"),
        (with_contents(pdfs.bomb(50_000_000, 3)), "document_too_complex document_without_text"),
        (
            with_contents(pdfs.stream(b"x", b"/Filter [" + b"/ASCII85Decode " * 5_000 + b"]")),
            "document_too_complex document_damaged",
        ),
        (nested_array(200_000), "document_too_complex document_damaged document_without_text"),
        (self_drawing_form(), "document_too_complex document_without_text document_damaged"),
    ],
    ids=range(16),
)
async def test_a_hostile_pdf_is_refused_by_name(body: bytes, codes: str) -> None:
    assert await refused(FileKind.PDF, body) in codes.split()


def after_itself(content: bytes) -> bytes:
    """A PDF whose table of objects names itself as the earlier one."""
    start = content[content.rindex(b"startxref") :].split()[1]
    return content.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev " + start)


@pytest.mark.parametrize(
    "body",
    [
        with_contents(b"[5 0 R 5 0 R]"),
        with_contents(b"5 0 R"),
        with_contents(pdfs.stream(b"x", b"/Filter 5 0 R")),
        SOUND.replace(b"/Parent 2 0 R", b"/Parent 4 0 R"),
        SOUND.replace(b"/BaseFont /Helvetica", b"/Encoding 3 0 R /ToUnicode 3 0 R"),
        SOUND.replace(b"/Pages 2 0 R", b"/Pages 1 0 R"),
        after_itself(SOUND),
    ],
    ids=["contents", "reference", "filter", "parent", "font", "catalog", "table"],
)
async def test_a_circle_has_an_end(body: bytes) -> None:
    """Whatever can be read is read, and the rest is refused."""
    try:
        found = (await read(FileKind.PDF, body)).text
    except InvalidInputError as error:
        found = error.error_code
    codes = {"document_damaged", "document_too_complex", "document_without_text"}
    assert "Trams" in found or found in codes


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"", "document_without_text"),
        (b"<html></html>", "document_without_text"),
        (b"<html><body>" + b"<br>" * 20_000 + b"</body></html>", "document_without_text"),
        (b"<html><body>" + b"<br>" * 400_000, "document_without_text document_too_complex"),
        (b"<html><script>" + b"x" * 1_000_000 + b"</script></html>", "document_without_text"),
        (b"<html><!--" + b"-" * 1_000_000, "document_without_text"),
        (b"<html><body>" + b"<div>" * 100_000 + b"deep", "document_too_complex"),
        (b"<html><body>" + b"<b><i>" * 100_000 + b"deep", "document_too_complex"),
        (b"<html><body><p>" + b"word " * 30_000, "document_too_large"),
    ],
    ids=range(9),
)
async def test_a_hostile_page_is_refused_by_name(body: bytes, codes: str) -> None:
    assert await refused(FileKind.HTML, body) in codes.split()


@pytest.mark.parametrize(
    "bomb",
    [
        b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">'
        b'<!ENTITY c "&b;&b;&b;&b;">]><html><body><p>laugh &c; end</p></body></html>',
        b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><p>read &x; end</html>',
    ],
)
async def test_entities_of_a_page_stay_what_they_are(bomb: bytes) -> None:
    text = (await read(FileKind.HTML, bomb)).text
    assert "end" in text
    assert "haha" not in text
    assert "root" not in text


async def test_a_text_keeps_no_character_that_cannot_be_stored() -> None:
    page = b"<html><body><p>one\x00two&#0;&#x1f;&#xd800;three</p></body></html>"
    text = (await read(FileKind.HTML, page)).text
    text.encode()
    assert "\0" not in text
    assert text.startswith("onetwo")


# --- the child


def children() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children()
        if "adapters.extraction.child" in child.cmdline()
    }


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Put code in the place of the child's module, as a hostile file might."""

    def put(code: str) -> None:
        package = tmp_path / "adapters" / "extraction"
        package.mkdir(parents=True)
        for folder in (package.parent, package):
            (folder / "__init__.py").touch()
        (package / "child.py").write_text(code)
        monkeypatch.setattr(extraction, "ROOT", tmp_path)

    yield put
    assert children() == set()


async def test_a_cancel_kills_the_child(endless: Callable[[str], None]) -> None:
    endless("import time; time.sleep(600)")
    task = asyncio.create_task(read(FileKind.PDF, SOUND))
    async with asyncio.timeout(30):
        while not children():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.01)
    [pid] = children()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(600)",
        "import sys\nwhile True: sys.stdout.write('x' * 65536)",
        "import sys\nwhile True: sys.stderr.write('x' * 65536)",
        "import os; os.kill(os.getpid(), 11)",
        "import os; os.kill(os.getpid(), 9)",
    ],
)
async def test_a_child_that_goes_wild_is_ended(
    endless: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    endless(code)
    monkeypatch.setattr(extraction, "SPARE_SECONDS", 2)
    limits = LIMITS._replace(wall_seconds=1)
    assert await refused(FileKind.PDF, SOUND, limits) == "document_too_complex"


@pytest.mark.parametrize(
    "code", ["import nothing_like_this", f"import os; os.kill(os.getpid(), {signal.SIGTERM.value})"]
)
async def test_a_child_that_cannot_work_is_a_defect(
    endless: Callable[[str], None], code: str
) -> None:
    """Nothing is said against the file, and the log has the reason."""
    endless(code)
    with pytest.raises(RuntimeError, match=r"nothing_like_this|exit code -15"):
        await read(FileKind.PDF, SOUND)


async def test_a_child_ends_by_itself_when_its_parent_is_gone() -> None:
    """As if the parent had died: the file never comes, and nobody kills the child."""
    order = {"kind": "pdf", "charset": None, "limits": LIMITS._replace(wall_seconds=1)._asdict()}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "adapters.extraction.child", json.dumps(order)),
        stdin=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    async with asyncio.timeout(60):
        assert await child.wait() == -signal.SIGALRM


@pytest.mark.parametrize(
    ("limits", "body"),
    [
        (LIMITS._replace(text_bytes=10**6, cpu_seconds=0), busy_pages()),
        (LIMITS._replace(text_bytes=10**6, wall_seconds=1), busy_pages()),
        (LIMITS._replace(memory_bytes=120 * 1_024 * 1_024), with_contents(pdfs.bomb(74_000_000))),
    ],
    ids=["processor", "clock", "memory"],
)
async def test_a_limit_ends_the_child(limits: Limits, body: bytes) -> None:
    assert await refused(FileKind.PDF, body, limits) == "document_too_complex"


async def test_a_child_sees_no_secrets(
    endless: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    endless(
        "import json, os, sys; sys.stdin.buffer.read()\n"
        "sys.stdout.write(json.dumps({'text': ' '.join(os.environ), 'title': None}))"
    )
    assert "DATABASE_URL" not in (await read(FileKind.PDF, SOUND)).text


async def test_two_children_at_a_time_and_others_wait_their_turn(
    endless: Callable[[str], None],
) -> None:
    endless("import time; time.sleep(600)")
    reader = Extractor(LIMITS, turn_seconds=0.2)
    file = SourceFile(SOUND, "application/pdf")
    tasks = [asyncio.create_task(reader.extract(FileKind.PDF, file)) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(children()) < 2:  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.01)
    with pytest.raises(UnavailableError) as caught:
        await reader.extract(FileKind.PDF, file)
    assert caught.value.error_code == "document_in_line"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_long_file_for_a_child_that_reads_none(endless: Callable[[str], None]) -> None:
    endless("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="exit code 3"):
        await read(FileKind.PDF, b"x" * 5_000_000)
