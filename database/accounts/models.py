"""Tables of accounts: columns, constraints and indexes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from database.base import Base, created_column, id_column


class User(Base):
    """A user with an account."""

    __tablename__ = "users"

    user_id: Mapped[UUID] = id_column()
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    # Language of the user's mails, such as `de` or `de-AT`; English if there is none.
    locale: Mapped[str | None]
    password_hash: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default="user")
    external_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    # Counts reads of the customer at Stripe; only the result of the latest read is stored.
    customer_sync_count: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = created_column()

    __table_args__ = (
        Index(None, "created_at", "user_id"),
        # Reason: an index for `LIKE 'prefix%'`, whatever the collation.
        Index("ix_users_email_prefix", "email", postgresql_ops={"email": "text_pattern_ops"}),
    )


class ImportedCustomer(Base):
    """A customer of the Stripe account in an import, with the user whom the mapping names."""

    __tablename__ = "imported_customers"

    stripe_customer_id: Mapped[str] = mapped_column(primary_key=True)
    mapped_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), index=True
    )
    import_status: Mapped[str]
    # Why the mapping could not be followed.
    refusal: Mapped[str | None]
    # Whether the customer's subscriptions are adopted.
    is_finished: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = created_column()


class ApiKey(Base):
    """An API key; only its digest is stored."""

    __tablename__ = "api_keys"

    api_key_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    name: Mapped[str]
    key_prefix: Mapped[str]
    key_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = created_column()
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "user_id", "created_at", "api_key_id"),)


class LoginSession(Base):
    """A log-in of a user; its tokens are valid until it is revoked or not used for long."""

    __tablename__ = "login_sessions"

    login_session_id: Mapped[UUID] = id_column()
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = created_column()
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "user_id", "created_at"),)


class RefreshToken(Base):
    """A refresh token of a session, used or not; only its digest is stored."""

    __tablename__ = "refresh_tokens"

    refresh_token_id: Mapped[UUID] = id_column()
    token_sha256: Mapped[str] = mapped_column(unique=True)
    login_session_id: Mapped[UUID] = mapped_column(
        ForeignKey("login_sessions.login_session_id", ondelete="CASCADE"), index=True
    )
    # The token whose place it took; None for the first one of a session.
    parent_sha256: Mapped[str | None]
    replaced_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = created_column()


class PasswordReset(Base):
    """A link in a mail by which a user sets a new password once; only its digest is stored."""

    __tablename__ = "password_resets"

    password_reset_id: Mapped[UUID] = id_column()
    token_sha256: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime] = created_column()
    used_at: Mapped[datetime | None]


class LoginAttempts(Base):
    """How many log-ins were tried in an hour, by the digest of an account, or with an address."""

    __tablename__ = "login_attempts"

    login_attempt_id: Mapped[UUID] = id_column()
    key_sha256: Mapped[str] = mapped_column(unique=True)
    window_start: Mapped[datetime] = mapped_column(index=True)
    attempt_count: Mapped[int]


class KnownAddress(Base):
    """The digest of an account and an address from which somebody has logged in to it."""

    __tablename__ = "known_addresses"

    known_address_id: Mapped[UUID] = id_column()
    key_sha256: Mapped[str] = mapped_column(unique=True)
    last_login_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Base):
    """A POST with an `Idempotency-Key`; kept for 90 days."""

    __tablename__ = "idempotency_keys"

    idempotency_key_id: Mapped[UUID] = id_column()
    caller_id: Mapped[UUID]
    path: Mapped[str]
    key: Mapped[str]
    body_sha256: Mapped[str]
    resource_id: Mapped[UUID] = mapped_column(index=True)
    answer_status_code: Mapped[int | None]
    answer_data: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

    __table_args__ = (UniqueConstraint("caller_id", "path", "key"),)
