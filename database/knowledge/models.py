"""Table of documents: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class Document(Base):
    """A customer's document; its passages are stored in Chroma."""

    __tablename__ = "documents"

    document_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id"))
    title: Mapped[str]
    source_url: Mapped[str | None]
    content: Mapped[str | None]
    metadata_data: Mapped[dict[str, Any]]
    document_status: Mapped[str]
    chunk_count: Mapped[int] = mapped_column(server_default=text("0"))
    is_suspicious: Mapped[bool] = mapped_column(server_default=text("false"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    workflow_id: Mapped[str]
    created_at: Mapped[datetime] = created_column()
    ingested_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "user_id", "created_at", "document_id"),
        Index(None, "created_at", "document_id"),
    )
