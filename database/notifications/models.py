"""Tables of mails, and of the links in them: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class DueMail(Base):
    """A mail to send once; the row is written in the transaction of the fact that it tells.

    Rows stay after the mail is sent, so that no fact is told twice.
    """

    __tablename__ = "due_mails"

    due_mail_id: Mapped[UUID] = id_column()
    message_key: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    mail_kind: Mapped[str]
    mail_status: Mapped[str] = mapped_column(server_default="due")
    # Row whose state decides whether the reason of the mail still holds.
    resource_id: Mapped[UUID | None]
    variables_data: Mapped[dict[str, Any]]
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = created_column()
    next_attempt_at: Mapped[datetime] = created_column()
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "user_id"),
        Index(
            "ix_due_mails_waiting", "next_attempt_at", postgresql_where=text("mail_status = 'due'")
        ),
    )


class ApprovalLink(Base):
    """A link in a mail by which one user decides one approval; only its token's digest is stored.

    Each attempt to send a mail makes a link of its own, because the mail of an attempt whose answer
    was lost may have arrived.
    """

    __tablename__ = "approval_links"

    approval_link_id: Mapped[UUID] = id_column()
    token_sha256: Mapped[str] = mapped_column(unique=True)
    approval_id: Mapped[UUID] = mapped_column(
        ForeignKey("approvals.approval_id", ondelete="CASCADE"), index=True
    )
    # Digest of the arguments that the mail was about.
    args_sha256: Mapped[str]
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime] = created_column()
    used_at: Mapped[datetime | None]
