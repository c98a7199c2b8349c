"""Customers' documents, and what agents remember."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.errors import InvalidInputError

BYTE_ORDER_MARK = "\ufeff"


class DocumentStatus(StrEnum):
    """Where a document stands."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class IngestStart(Frozen):
    """Which document to ingest; its content never travels."""

    document_id: UUID


class IngestOutcome(Frozen):
    """What an ingestion stored.

    Args:
        document_id: Of which document.
        chunk_count: Its passages.
        suspicions: Names of what looks like orders to a model.
    """

    document_id: UUID
    chunk_count: int
    suspicions: tuple[str, ...] = ()


class IngestFailure(Frozen):
    """Why a document cannot be read."""

    document_id: UUID
    code: str
    message: str


class Passage(Frozen):
    """A part of a document that a search found; a score of 1 is the same meaning."""

    document_id: UUID
    title: str
    chunk_index: int
    text: str
    score: float


class Memory(Frozen):
    """Something that an agent remembers of a user; the score is None where nothing was asked."""

    memory_id: UUID
    text: str
    conversation_id: UUID | None = None
    agent_run_id: UUID | None = None
    created_at: datetime
    score: float | None = None


def check_text(text: str, max_bytes: int) -> None:
    """Refuse what cannot be ingested.

    Raises:
        InvalidInputError: With a code of its own for each reason.
    """
    if not text.strip():
        raise InvalidInputError("the document has no text", "document_empty")
    if "\0" in text:
        raise InvalidInputError("the document has NUL bytes: it is no text", "document_not_text")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        message = "the document has half of a surrogate pair: it is no text"
        raise InvalidInputError(message, "document_not_text") from error
    if size > max_bytes:
        raise too_large(max_bytes)


def too_large(max_bytes: int) -> InvalidInputError:
    """Say that a document is too large."""
    message = f"the document is larger than {max_bytes} bytes"
    return InvalidInputError(message, "document_too_large")
