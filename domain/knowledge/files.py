"""Files that documents are read from: their kinds, and the text in them. Pure."""

import re
from email.message import Message as MediaType
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from domain.errors import InvalidInputError

TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
PDF_TYPES = frozenset({"application/pdf", "application/x-pdf"})
# What servers and browsers declare for a file whose type they do not know.
UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
READABLE_TYPES = TEXT_TYPES | HTML_TYPES | PDF_TYPES | UNKNOWN_TYPES
MAX_TITLE_LENGTH = 200
_TYPES_BY_SUFFIX = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}

_HEAD_BYTES = 1_024
_PDF_MARK = b"%PDF-"
_UTF8_MARK = b"\xef\xbb\xbf"
# Reason: each part is possessive, since other files may begin with any number of comments.
_HTML = re.compile(
    rb"(?:\s++|<!--(?:[^-]|-(?!->))*+-->|<\?[^>]*+>)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE,
)
# How files begin that are neither text nor HTML nor PDF: archives and office files, pictures, RTF.
_OTHER_MARKS = (
    *(b"PK\x03\x04", b"\x1f\x8b", b"Rar!\x1a", b"7z\xbc\xaf", b"\xd0\xcf\x11\xe0", b"{\\rtf"),
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"\x00\x00\x01\x00"),
)
# Control characters that mean nothing in a text; tab, line feed and form feed are kept.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class FileKind(StrEnum):
    """The kind of a file, which decides how its text is read."""

    TEXT = "text"
    HTML = "html"
    PDF = "pdf"


class SourceFile(NamedTuple):
    """A file as it was fetched or uploaded.

    Args:
        body: Content of the file.
        media_type: Declared media type in lower case, without parameters; it may be wrong.
        charset: Declared charset, which may be wrong too.
    """

    body: bytes
    media_type: str
    charset: str | None = None


class FileText(NamedTuple):
    """The text of a file, and its title if it has one. A form feed begins each further page."""

    text: str
    title: str | None = None


def file_kind(body: bytes, media_type: str) -> FileKind:
    """Return the kind of a file: by its first bytes, else by its declared type.

    Raises:
        InvalidInputError: Files of this kind are not read (`document_type_unsupported`), or the
            file is declared as a PDF and is none (`document_damaged`).
    """
    head = body[:_HEAD_BYTES].removeprefix(_UTF8_MARK)
    # Reason: readers of PDF accept other bytes before the mark; texts may quote it.
    if head.lstrip().startswith(_PDF_MARK) or (media_type in PDF_TYPES and _PDF_MARK in head):
        return FileKind.PDF
    if _HTML.match(head):
        return FileKind.HTML
    if media_type in PDF_TYPES:
        raise InvalidInputError("the file is no PDF, or its beginning is lost", "document_damaged")
    if not head.startswith(_OTHER_MARKS):
        if media_type in HTML_TYPES:
            return FileKind.HTML
        if media_type in TEXT_TYPES:
            return FileKind.TEXT
    raise type_unsupported_error()


def read_media_type(header: str) -> tuple[str, str | None]:
    """Return the media type in lower case and the charset of a Content-Type header."""
    media = MediaType()
    media["content-type"] = header
    return header.partition(";")[0].strip().lower(), media.get_content_charset() or None


def uploaded_file(body: bytes, header: str, name: str) -> SourceFile:
    """Return a file as it was uploaded; an unknown type is replaced by that of the name."""
    media_type, charset = read_media_type(header)
    if media_type in UNKNOWN_TYPES:
        media_type = _TYPES_BY_SUFFIX.get(PurePosixPath(name).suffix.lower(), "")
    return SourceFile(body, media_type, charset)


def type_unsupported_error() -> InvalidInputError:
    """Return the error for a file of a kind that is not read."""
    message = "only plain text, Markdown, HTML and PDF are read"
    return InvalidInputError(message, "document_type_unsupported")


def clean_text(text: str) -> str:
    """Return a text without characters that cannot be stored or mean nothing."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", lines).encode("utf-8", "ignore").decode("utf-8")


def clean_title(title: str | None) -> str | None:
    """Return a title on one line and within the limit of titles; None if nothing is left."""
    words = clean_text(title or "").split()
    return " ".join(words)[:MAX_TITLE_LENGTH].strip() or None


def address_title(url: str) -> str:
    """Return the title of a document that has none: the name in its address, else the host."""
    parts = urlsplit(url)
    name = unquote(parts.path).rstrip("/").rpartition("/")[2]
    return clean_title(name) or clean_title(parts.netloc) or "Untitled"


def page_of(text: str, offset: int) -> int | None:
    """Return the number of the page at an offset; None for a text without pages."""
    return text.count("\f", 0, offset) + 1 if "\f" in text else None
