"""Documents of customers, and memories of agents."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.errors import InvalidInputError

BYTE_ORDER_MARK = "\ufeff"


class DocumentStatus(StrEnum):
    """The status of a document."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class IngestStart(Frozen):
    """Input of the ingestion of a document; the content stays in the database."""

    document_id: UUID


class IngestOutcome(Frozen):
    """Result of the ingestion of a document.

    Args:
        document_id: Document that was ingested.
        chunk_count: Number of its passages.
        suspicions: Names of patterns in the text that look like instructions to a model.
    """

    document_id: UUID
    chunk_count: int
    suspicions: tuple[str, ...] = ()


class IngestFailure(Frozen):
    """Why a document cannot be ingested."""

    document_id: UUID
    code: str
    message: str


class Passage(Frozen):
    """A part of a document that a search found; a score of 1 means the same meaning.

    Args:
        document_id: Document that contains the passage.
        title: Title of the document.
        chunk_index: Index of the passage in the document.
        page_number: Page on which the passage begins; None in documents without pages.
        text: Text of the passage.
        score: How near the passage is to the query.
    """

    document_id: UUID
    title: str
    chunk_index: int
    page_number: int | None = None
    text: str
    score: float


class NewMemory(Frozen):
    """A memory to store; the same id is stored once.

    Args:
        memory_id: Id of the memory.
        user_id: Owner of the memory.
        text: Text of the memory.
        conversation_id: Conversation that the memory comes from.
        agent_run_id: Run that the memory comes from.
        created_at: Creation time of the memory.
    """

    memory_id: UUID
    user_id: UUID
    text: str
    conversation_id: UUID | None = None
    agent_run_id: UUID | None = None
    created_at: datetime


class Memory(Frozen):
    """A memory of an agent about a user; the score is None without a search query."""

    memory_id: UUID
    text: str
    conversation_id: UUID | None = None
    agent_run_id: UUID | None = None
    created_at: datetime
    score: float | None = None


def check_text(text: str, max_bytes: int) -> None:
    """Refuse a text that cannot be ingested.

    Raises:
        InvalidInputError: The text is empty (`document_empty`), has characters that cannot be
            stored (`document_not_text`) or is too large (`document_too_large`).
    """
    if not text.strip():
        raise InvalidInputError("the document has no text", "document_empty")
    if "\0" in text:
        raise InvalidInputError("the document has NUL bytes: it is not text", "document_not_text")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        message = "the document has half of a surrogate pair: it is not text"
        raise InvalidInputError(message, "document_not_text") from error
    if size > max_bytes:
        raise document_too_large_error(max_bytes)


def document_too_large_error(max_bytes: int) -> InvalidInputError:
    """Return the error for a document that is too large."""
    message = f"the document is larger than {max_bytes} bytes"
    return InvalidInputError(message, "document_too_large")
