"""Table of cached answers of models: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class CachedAnswer(Base):
    """A finished answer of a model, which is given again to the same user for the same request."""

    __tablename__ = "llm_cache"

    cached_answer_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    # Digest of model, agent, version of the prompt and the whole request.
    request_sha256: Mapped[str]
    model: Mapped[str]
    reply_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created_column()
    expires_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("user_id", "request_sha256"), Index(None, "expires_at"))
