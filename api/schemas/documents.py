"""Schemas of documents."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import UploadFile
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    HttpUrl,
    StringConstraints,
    field_validator,
    model_validator,
)

from api.http.card_guard import mask_number
from api.schemas.common import (
    COUNT_MAX,
    MASKED,
    NO_CARD,
    NOT_BLANK,
    Input,
    Output,
    Title,
    WebAddress,
)
from database.knowledge.models import Document
from domain.knowledge.documents import DocumentStatus

MAX_URL_LENGTH = 2_000

_Key = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=NOT_BLANK), NO_CARD]
_Text = Annotated[str, StringConstraints(max_length=500)]
# Reason: a browser sends a field that was not filled in as an empty one.
_FormTitle = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True), MASKED]
_Integer = Annotated[int, Field(ge=-COUNT_MAX, le=COUNT_MAX)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Value = Annotated[bool | _Integer | _Number | _Text | None, AfterValidator(mask_number)]


_EXAMPLE: dict[str, Any] = {
    "document_id": "5f0c3d2e-1b4a-4c6d-8e7f-9a0b1c2d3e4f",
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "title": "Trains",
    "url": None,
    "metadata": {"language": "en"},
    "document_status": "ready",
    "chunk_count": 3,
    "is_suspicious": False,
    "error": None,
    "workflow_id": "ingest-document-5f0c3d2e-1b4a-4c6d-8e7f-9a0b1c2d3e4f",
    "created_at": "2026-11-23T09:00:00Z",
    "ingested_at": "2026-11-23T09:00:03Z",
}
NEW_DOCUMENT_EXAMPLE = {
    **_EXAMPLE,
    "document_status": "pending",
    "chunk_count": 0,
    "ingested_at": None,
}


class NewDocument(Input):
    """A new document: its content, or an address from which to fetch it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"title": "Trains", "content": "# Trains\n\nThey leave every ten minutes."},
                {"title": "Manual", "url": "https://example.com/manual.pdf"},
            ],
        },
    )

    title: Title | None = Field(
        default=None,
        description="By default that of the HTML page or PDF at the address; content needs one.",
    )
    content: str | None = Field(default=None, description="Plain text or Markdown.")
    url: WebAddress | None = Field(
        default=None,
        description="Public http or https address of plain text, Markdown, HTML or a PDF.",
    )
    metadata: dict[_Key, _Value] = Field(default_factory=dict, max_length=50)
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: HttpUrl | None) -> HttpUrl | None:
        if url is not None and (url.username or url.password):
            raise ValueError("a URL must not contain a user name or a password")
        if url is not None and len(str(url)) > MAX_URL_LENGTH:
            raise ValueError(f"a URL must have at most {MAX_URL_LENGTH} characters")
        return url

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.content is None) == (self.url is None):
            raise ValueError("either content or url is required, not both")
        if self.url is None and self.title is None:
            raise ValueError("content needs a title")
        return self


class NewUpload(Input):
    """A new document that is uploaded as a file; the file itself is not kept."""

    file: UploadFile = Field(description="Plain text, Markdown, HTML or a PDF.")
    title: _FormTitle | None = Field(
        default=None,
        description="By default that of the HTML page or PDF, else the name of the file.",
    )
    user_id: UUID | Literal[""] | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class DocumentErrorOut(Output):
    """Why a document could not be read."""

    code: str
    message: str


class DocumentOut(Output):
    """A document, without its content."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXAMPLE,
            ],
        },
    )

    document_id: UUID
    user_id: UUID
    title: str
    url: str | None
    metadata: dict[str, Any]
    document_status: DocumentStatus
    chunk_count: int
    is_suspicious: bool = Field(
        description="The text seems to contain instructions to a model; it is fenced as data.",
    )
    error: DocumentErrorOut | None
    workflow_id: str
    created_at: datetime
    ingested_at: datetime | None

    @classmethod
    def of(cls, row: Document) -> Self:
        """Render a row."""
        error = None
        if row.error_code is not None:
            error = DocumentErrorOut(code=row.error_code, message=row.error_message or "")
        return cls(
            document_id=row.document_id,
            user_id=row.user_id,
            title=row.title,
            url=row.source_url,
            metadata=row.metadata_data,
            document_status=DocumentStatus(row.document_status),
            chunk_count=row.chunk_count,
            is_suspicious=row.is_suspicious,
            error=error,
            workflow_id=row.workflow_id,
            created_at=row.created_at,
            ingested_at=row.ingested_at,
        )
