"""HTML and PDF as documents: fetched or uploaded, read, cited, or refused by name."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.chroma.client import open_chroma
from adapters.embeddings import LocalEmbedder
from config import Settings
from database.knowledge.models import Document
from database.session import Sessions
from services.knowledge.search import KnowledgeSearch
from tests.adapters.test_extraction import ARTICLE
from tests.adapters.test_web_fetcher import page, redirect, reply
from tests.api.agents.test_agent_runs import ask
from tests.api.conftest import API, Person, problem
from tests.api.knowledge.test_documents import ended, ingest
from tests.support import pdfs
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers", "chroma_url")

CARD = "4242 4242 4242 4242"
TRAMS = "The night tram to Varna leaves from platform 7, every evening."


async def send(
    person: Person,
    content: bytes,
    name: str = "file",
    kind: str = "",
    key: str | None = None,
    **fields: str,
) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    files = {"file": (name, content, kind)}
    return await person.http.post(
        f"{API}/documents/upload", files=files, data=fields, headers=headers
    )


async def upload(person: Person, content: bytes, **more: Any) -> dict[str, Any]:
    """Upload a file, and wait for its end."""
    made = await send(person, content, **more)
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"{API}/documents/{made.json()['document_id']}"
    return await ended(person, made.json()["document_id"])


async def fetched(person: Person, answer: bytes, path: str = "x", **body: Any) -> dict[str, Any]:
    async with page(answer) as url:
        place = url.replace("127.0.0.1", "localhost")
        return await ingest(person, **({"title": None, "url": f"{place}/{path}"} | body))


async def content_of(sessions: Sessions, document: dict[str, Any]) -> str | None:
    async with sessions() as session:
        return (await session.get_one(Document, UUID(document["document_id"]))).content


async def test_a_run_cites_a_pdf_and_its_page(customer: Person, model: Model) -> None:
    body = pdfs.pdf("Contents", TRAMS, "Imprint", title="Time table")
    document = await fetched(customer, reply(body, kind="application/pdf"), "table.pdf")
    assert (document["document_status"], document["error"]) == ("ready", None)
    assert document["title"] == "Time table"
    run = await ask(customer, "Where does the night tram to Varna leave from?")
    assert "platform 7" in run["output"]
    [cited] = run["citations"]
    assert (cited["document_id"], cited["page_number"]) == (document["document_id"], 1)
    assert TRAMS in cited["excerpt"]
    assert "# Time table, page 1" in str((await model.calls(TRAMS))[0]["body"])


async def test_a_run_cites_an_html_page(customer: Person) -> None:
    text = ARTICLE.replace("Trams are blue", f"{TRAMS} Trams are blue")
    answer = reply(text.encode(), kind="text/html; charset=utf-8")
    document = await fetched(customer, answer, "trams")
    assert (document["document_status"], document["error"]) == ("ready", None)
    assert document["title"] == "Trams & buses"
    run = await ask(customer, "Where does the night tram to Varna leave from?")
    assert "platform 7" in run["output"]
    [cited] = run["citations"]
    assert (cited["document_id"], cited["page_number"]) == (document["document_id"], None)


async def test_each_passage_of_a_pdf_has_its_page(
    user: Person, settings: Settings, sessions: Sessions
) -> None:
    filler = "\n".join(["Nothing of interest stands in this line of the book."] * 40)
    document = await upload(user, pdfs.pdf(filler, filler, f"{TRAMS}\n{filler}"), name="a.pdf")
    assert document["chunk_count"] > 3
    async with open_chroma(settings.chroma_url) as chroma:
        library = KnowledgeSearch(chroma, LocalEmbedder(), sessions)
        [passage] = await library.search_documents(user.user_id, "night tram to Varna", 1)
    assert TRAMS in passage.text.replace("\n", " ")
    assert passage.page_number in {2, 3}


@pytest.mark.parametrize(
    ("given", "of_file", "title"),
    [
        (None, "Theirs", "Theirs"),
        ("Mine", "Theirs", "Mine"),
        (None, "", "My manual.pdf"),
        ("My manual.pdf", "", "My manual.pdf"),
    ],
)
async def test_a_title_is_given_or_that_of_the_file(
    user: Person, given: str | None, of_file: str, title: str
) -> None:
    answer = reply(pdfs.pdf("Trams are blue.", title=of_file), kind="application/pdf")
    document = await fetched(user, answer, "a/My%20manual.pdf", title=given)
    assert (document["document_status"], document["title"]) == ("ready", title)


async def test_a_card_number_in_a_title_is_masked(user: Person) -> None:
    body = pdfs.pdf("Trams are blue.", title=f"Card {CARD}")
    for document in (
        await fetched(user, reply(body, kind="application/pdf")),
        await upload(user, body),
        await upload(user, b"Trams are blue.", name=f"{CARD}.txt"),
    ):
        assert document["document_status"] == "ready"
        assert "4242 4242" not in document["title"]


async def test_card_numbers_in_files_are_masked(user: Person, sessions: Sessions) -> None:
    for body in (pdfs.pdf(f"Pay with {CARD} now."), f"<html><p>Pay with {CARD} now.".encode()):
        document = await upload(user, body)
        assert document["document_status"] == "ready"
        stored = await content_of(sessions, document)
        assert stored is not None
        assert "4242 4242" not in stored
        assert stored.startswith("Pay with")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(pdfs.pdf(""), kind="application/pdf"), "document_without_text"),
        (reply(b"%PDF-1.7", kind="application/pdf"), "document_damaged"),
        (reply(b"no PDF", kind="application/pdf"), "document_damaged"),
        (
            reply(pdfs.encrypted(pdfs.pdf("x"), "secret"), kind="application/pdf"),
            "document_encrypted",
        ),
        (reply(b"<html></html>", kind="text/html"), "document_without_text"),
        (
            reply(b"<html>" + b"<div>" * 100_000 + b"deep", kind="text/html"),
            "document_too_complex",
        ),
        (reply(b"\x89PNG\r\n", kind="text/html"), "document_type_unsupported"),
        (reply(b"x" * 10_000_001, kind="application/pdf"), "document_too_large"),
        (reply(b"<p>" + b"word " * 250_000, kind="text/html"), "document_too_large"),
        (redirect("http://127.0.0.1:1/x.pdf"), "document_address_refused"),
    ],
    ids=range(10),
)
async def test_what_cannot_be_read_fails_at_once(
    user: Person, sessions: Sessions, answer: bytes, code: str
) -> None:
    document = await fetched(user, answer, title="Hostile")
    assert (document["document_status"], document["error"]["code"]) == ("failed", code)
    assert document["error"]["message"]
    assert await content_of(sessions, document) is None


# --- uploads


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (pdfs.pdf(TRAMS), "a.pdf", "application/pdf"),
        (pdfs.pdf(TRAMS), "a", "text/plain"),
        (f"<!doctype html><html><p>{TRAMS}".encode(), "a.html", "text/html"),
        (TRAMS.encode(), "a.md", ""),
        (TRAMS.encode("utf-16"), "a.txt", "text/plain"),
        (TRAMS.encode("latin-1"), "a", "text/plain; charset=iso-8859-1"),
    ],
)
async def test_a_file_is_uploaded(
    user: Person, sessions: Sessions, content: bytes, name: str, kind: str
) -> None:
    document = await upload(user, content, name=name, kind=kind)
    assert (document["document_status"], document["error"]) == ("ready", None)
    assert (document["title"], document["url"]) == (name, None)
    assert await content_of(sessions, document) == TRAMS


async def test_an_upload_has_a_title_and_an_owner(
    admin: Person, user: Person, other: Person
) -> None:
    content = pdfs.pdf(TRAMS, title="Theirs")
    made = await send(admin, content, title=" Mine ", user_id=str(user.user_id))
    assert made.status_code == 202, made.text
    document = await ended(user, made.json()["document_id"])
    assert (document["title"], document["user_id"]) == ("Mine", str(user.user_id))
    problem(await send(other, content, user_id=str(user.user_id)), 404, "not_found")
    problem(await other.http.get(f"{API}/documents/{document['document_id']}"), 404, "not_found")


@pytest.mark.parametrize("fields", [{"title": ""}, {"title": " "}, {"user_id": ""}])
async def test_an_empty_field_of_a_form_is_none(user: Person, fields: dict[str, str]) -> None:
    document = await upload(user, TRAMS.encode(), name="a.txt", **fields)
    assert (document["title"], document["user_id"]) == ("a.txt", str(user.user_id))


async def test_the_same_upload_is_made_once(user: Person) -> None:
    """Each repeat of a form has other borders between its fields."""
    key, content = uuid4().hex, pdfs.pdf(TRAMS)
    replies = [await send(user, content, name="a.pdf", key=key) for _ in range(2)]
    assert {each.status_code for each in replies} == {202}
    assert len({each.json()["document_id"] for each in replies}) == 1
    assert len((await user.get("documents"))["items"]) == 1
    problem(
        await send(user, pdfs.pdf("Other"), name="a.pdf", key=key), 409, "idempotency_key_reused"
    )
    problem(await send(user, content, name="b.pdf", key=key), 409, "idempotency_key_reused")


async def test_an_upload_that_cannot_be_read_fails(user: Person, sessions: Sessions) -> None:
    for content, name, code in (
        (b"%PDF-1.7", "a.pdf", "document_damaged"),
        (b"PK\x03\x04", "a.docx", "document_type_unsupported"),
        (b"a\0b", "a.txt", "document_not_text"),
        (b"\xff", "a.md", "document_not_utf8"),
        (b"", "a.txt", "document_empty"),
        (b"x" * 1_000_001, "a.txt", "document_too_large"),
    ):
        document = await upload(user, content, name=name)
        assert (document["document_status"], document["error"]["code"]) == ("failed", code)
        assert document["title"] == name
        assert await content_of(sessions, document) is None


async def test_a_bad_form_is_refused(user: Person, stranger: Any) -> None:
    path = f"{API}/documents/upload"
    problem(await stranger.post(path, files={"file": b"x"}), 401, "unauthorized")
    problem(await user.http.post(path), 422, "invalid_input")
    problem(await user.http.post(path, data={"title": "x"}), 415, "unsupported_media_type")
    problem(await user.http.post(path, json={"title": "x"}), 415, "unsupported_media_type")
    problem(await user.http.post(path, files={"other": b"x"}), 422, "invalid_input")
    problem(await user.http.post(path, files={"file": b"x", "more": b"y"}), 422, "invalid_input")
    for fields in (
        {"title": "x" * 201},
        {"user_id": "me"},
        {"unknown": "x"},
    ):
        problem(await send(user, b"x", name="a.txt", **fields), 422, "invalid_input")
    for twice in ([("file", b"x"), ("file", b"y")], [("file", b"x"), ("title", b"x")] * 2):
        problem(await user.http.post(path, files=twice), 422, "invalid_input")
    text = await user.http.post(path, data={"file": "text"}, files={"title": b"x"})
    problem(text, 422, "invalid_input")
    assert (await user.get("documents"))["items"] == []


async def test_a_file_that_is_too_large_is_refused(user: Person) -> None:
    limit = 10_000_000 + 64 * 1_024
    reply = await send(user, b"x" * (limit + 1), name="a.txt")
    assert problem(reply, 413, "payload_too_large")["details"] == {"limit_bytes": limit}
