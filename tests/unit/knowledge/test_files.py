"""The kinds of files, by what they begin with and by what they are declared as."""

import pytest

from domain.errors import InvalidInputError
from domain.knowledge.charsets import decode_html, decode_text, known_charset
from domain.knowledge.files import (
    FileKind,
    SourceFile,
    address_title,
    clean_text,
    clean_title,
    file_kind,
    page_of,
    read_media_type,
    uploaded_file,
)

HTML, PDF, TEXT = FileKind.HTML, FileKind.PDF, FileKind.TEXT


@pytest.mark.parametrize(
    ("body", "media_type", "kind"),
    [
        (b"plain", "text/plain", TEXT),
        (b"# Title", "text/markdown", TEXT),
        (b"", "text/plain", TEXT),
        (b"\xff", "text/plain", TEXT),
        (b"a < b and <p> is a tag", "text/plain", TEXT),
        (b"It begins with %PDF-1.7, as I said.", "text/plain", TEXT),
        (b"%PDF-1.7\n", "application/pdf", PDF),
        (b"junk before %PDF-1.7\n", "application/pdf", PDF),
        # What is declared may be wrong:
        (b"%PDF-1.7\n", "text/plain", PDF),
        (b"%PDF-1.7\n", "text/html", PDF),
        (b"\xef\xbb\xbf\r\n %PDF-1.7\n", "", PDF),
        (b"%PDF-1.7\n", "application/octet-stream", PDF),
        (b"<!DOCTYPE HTML><p>", "text/plain", HTML),
        (b"\xef\xbb\xbf<html>", "application/octet-stream", HTML),
        (b"<html>please log in</html>", "application/pdf", HTML),
        (b'<?xml version="1.0"?>\n<!-- a -- b --->\n <html>', "", HTML),
        (b"<p>a part of a page", "text/html", HTML),
        (b"no element at all", "application/xhtml+xml", HTML),
    ],
)
def test_the_first_bytes_decide_what_a_file_is(
    body: bytes, media_type: str, kind: FileKind
) -> None:
    assert file_kind(body, media_type) is kind


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"plain", "", "document_type_unsupported"),
        (b"plain", "application/json", "document_type_unsupported"),
        (b"PK\x03\x04word", "text/plain", "document_type_unsupported"),
        (b"\x89PNG\r\n", "text/html", "document_type_unsupported"),
        (b"\x1f\x8b\x08", "application/octet-stream", "document_type_unsupported"),
        (b"<htmlx>", "image/svg+xml", "document_type_unsupported"),
        (b"no mark", "application/pdf", "document_damaged"),
        (b"x" * 2_000 + b"%PDF-1.7", "application/pdf", "document_damaged"),
        (b"PK\x03\x04", "application/x-pdf", "document_damaged"),
    ],
)
def test_other_files_are_refused(body: bytes, media_type: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        file_kind(body, media_type)
    assert caught.value.error_code == code


def test_many_comments_do_not_take_long() -> None:
    for part in (b"<!---->", b"<!-- - -- -", b"<?x?>", b" \n", b"<!--"):
        with pytest.raises(InvalidInputError):
            file_kind(part * 1_000, "")


@pytest.mark.parametrize(
    ("header", "name", "found"),
    [
        ("text/plain", "a.md", ("text/plain", None)),
        ('Text/HTML; charset="ISO-8859-1"', "a", ("text/html", "iso-8859-1")),
        ("", "a.MD", ("text/markdown", None)),
        ("application/octet-stream", "notes.txt", ("text/plain", None)),
        ("application/octet-stream", "C:\\x\\report.pdf", ("application/pdf", None)),
        ("", "page.htm", ("text/html", None)),
        ("", "a.docx", ("", None)),
        ("image/png", "a.txt", ("image/png", None)),
    ],
)
def test_an_unknown_type_is_that_of_the_name(
    header: str, name: str, found: tuple[str, str | None]
) -> None:
    assert uploaded_file(b"x", header, name) == SourceFile(b"x", *found)


def test_a_media_type_may_be_anything() -> None:
    assert read_media_type("") == ("", None)
    assert read_media_type(";;=;charset") == ("", None)
    assert read_media_type("text/plain; charset=utf-8''x%FF")[0] == "text/plain"


def test_characters_that_mean_nothing_are_left_out() -> None:
    assert clean_text("a\0b\x1b[1m\r\nc\rd\te\ff\ud800g") == "ab[1m\nc\nd\te\ffg"


@pytest.mark.parametrize(
    ("title", "clean"),
    [(None, None), ("", None), (" \n\0 ", None), (" a\n b\0c ", "a bc"), ("x" * 300, "x" * 200)],
)
def test_a_title_is_one_line(title: str | None, clean: str | None) -> None:
    assert clean_title(title) == clean


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("https://example.com/a/The%20manual.pdf?x=1#y", "The manual.pdf"),
        ("https://example.com/docs/", "docs"),
        ("https://example.com/", "example.com"),
        ("https://example.com", "example.com"),
        ("https://example.com/%00", "example.com"),
        ("", "Untitled"),
    ],
)
def test_an_address_gives_a_title(url: str, title: str) -> None:
    assert address_title(url) == title


def test_form_feeds_are_pages() -> None:
    assert page_of("no pages", 3) is None
    text = "one\n\n\ftwo\n\n\fthree"
    assert [page_of(text, text.index(word)) for word in ("one", "two", "three")] == [1, 2, 3]


# --- charsets


@pytest.mark.parametrize("charset", ["utf-7", "punycode", "base64", "rot13", "", None, "nothing"])
def test_what_is_no_charset_of_texts_is_unknown(charset: str | None) -> None:
    assert known_charset(charset) is None


def test_a_text_is_of_its_charset_or_refused() -> None:
    assert decode_text("grün".encode("latin-1"), "iso-8859-1") == "grün"
    assert decode_text("grün".encode("utf-16"), "utf-8") == "grün"
    with pytest.raises(InvalidInputError) as caught:
        decode_text(b"\xff", None)
    assert caught.value.error_code == "document_not_utf8"


@pytest.mark.parametrize(
    ("body", "declared", "text"),
    [
        (b"plain", None, "plain"),
        (b"plain", "utf-16", "plain"),
        (b'<meta charset="utf-16">plain', None, '<meta charset="utf-16">plain'),
        ("grün".encode(), "latin-1", "grün"),
        ("grün".encode("latin-1"), "utf-8", "grün"),
        ("grün".encode("utf-16"), None, "grün"),
        ("grün".encode("utf-16-le"), "utf-16-le", "grün"),
        ("€".encode("cp1252"), "iso-8859-1", "€"),
        ("привет".encode("koi8-r"), "koi8-r", "привет"),
        (b"<meta charset=koi8-r>" + "привет".encode("koi8-r"), None, "<meta charset=koi8-r>привет"),
        (b"\xe4\x81", None, "ä\ufffd"),
        (b"\xff\xfe\x00", None, "ÿþ\x00"),
    ],
)
def test_a_page_is_decoded_as_browsers_do(body: bytes, declared: str | None, text: str) -> None:
    assert decode_html(body, declared) == text
