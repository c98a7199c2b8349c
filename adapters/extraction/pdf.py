"""Reads the text of a PDF with pypdf; imported by the child process only."""

from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from adapters.extraction.limits import Limits, UnreadableError, check_size
from domain.knowledge.files import FileText, clean_text

# Reason: a form feed begins a page, and the empty line before it ends a paragraph.
PAGE_BREAK = "\n\n\f"


def read_pdf(body: bytes, _: str | None, limits: Limits) -> FileText:
    """Read the text of all pages, and the title.

    Raises:
        UnreadableError: The PDF is encrypted, damaged, too complex or without text.
    """
    try:
        reader = _open(body)
        return FileText(_text(reader, limits), _title(reader))
    except LimitReachedError as error:
        raise UnreadableError(
            "the PDF is too complex to be read", "document_too_complex"
        ) from error


def _open(body: bytes) -> PdfReader:
    """Open a PDF, also one that is encrypted with an empty password, which every reader knows."""
    try:
        reader = PdfReader(BytesIO(body))
        is_open = not reader.is_encrypted or bool(reader.decrypt(""))
    except (FileNotDecryptedError, DependencyError, NotImplementedError):
        is_open = False
    if not is_open:
        raise UnreadableError(
            "the PDF is encrypted, and opens with a password only or not at all",
            "document_encrypted",
        )
    return reader


def _text(reader: PdfReader, limits: Limits) -> str:
    count = len(reader.pages)
    if count > limits.page_count:
        message = f"the PDF has {count} pages; at most {limits.page_count} are read"
        raise UnreadableError(message, "document_too_complex")
    if not count:
        raise UnreadableError("the PDF has no pages, or they are damaged", "document_damaged")
    texts, size = [], 0
    for page in reader.pages:
        texts.append(clean_text(page.extract_text()).replace("\f", "\n").strip())
        size += len(texts[-1].encode()) + len(PAGE_BREAK)
        check_size(size, limits)
    if not any(texts):
        message = "the PDF has no text; it may have been scanned"
        raise UnreadableError(message, "document_without_text")
    return PAGE_BREAK.join(texts)


def _title(reader: PdfReader) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001 - a damaged title is no reason to refuse the text
        return None
    return title if isinstance(title, str) else None
