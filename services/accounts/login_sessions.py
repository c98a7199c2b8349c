"""Opens, continues and ends the log-in sessions of users."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.login_sessions import LoginSessionRepository
from database.accounts.models import RefreshToken, User
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.accounts.credentials import digest, make_refresh_token
from domain.accounts.sessions import (
    RefreshDecision,
    RefreshFacts,
    decide_refresh,
)
from domain.errors import UnauthorizedError

log = structlog.get_logger(__name__)


class OpenSession(NamedTuple):
    """A session with the refresh token by which it goes on."""

    user: User
    login_session_id: UUID
    refresh_token: str


class LoginSessions:
    """The log-in sessions of all users.

    Args:
        sessions: Factory of database sessions.
        ttl: How long a session lasts without being continued.
    """

    def __init__(self, sessions: Sessions, ttl: timedelta) -> None:
        self._sessions = sessions
        self._ttl = ttl

    async def open(self, user: User) -> OpenSession:
        """Open a session of a user whose password was checked."""
        async with self._sessions.begin() as session:
            stored = LoginSessionRepository(session)
            await stored.forget_expired(user.user_id)
            login_session_id = await stored.open(user.user_id)
            secret = await self._add_token(stored, login_session_id, None)
        return OpenSession(user, login_session_id, secret)

    async def refresh(self, refresh_token: str) -> OpenSession:
        """Continue a session with another refresh token; one that was stolen ends its session.

        Raises:
            UnauthorizedError: The token is unknown, was used, is too old, or its session or user
                is not active any more (`invalid_refresh_token`).
        """
        async with self._sessions.begin() as session:
            opened = await self._continue(session, refresh_token)
        if opened is None:
            message = "the refresh token is not valid any more: log in again"
            raise UnauthorizedError(message, "invalid_refresh_token")
        return opened

    async def _continue(self, session: AsyncSession, refresh_token: str) -> OpenSession | None:
        stored = LoginSessionRepository(session)
        found = await stored.find(digest(refresh_token))
        if found is None:
            return None
        row, token = found
        facts = await _facts(stored, token, is_over=row.revoked_at is not None)
        decision = decide_refresh(facts, datetime.now(UTC))
        if decision is RefreshDecision.REUSED:
            # Reason: the thief or the owner has the newest token; nobody knows who.
            await stored.revoke(row.user_id, only=row.login_session_id)
            log.warning("refresh_token_reused", user_id=str(row.user_id))
        user = await UserRepository(session).get(row.user_id)
        is_going_on = decision in {RefreshDecision.ROTATE, RefreshDecision.REPEAT}
        if not is_going_on or user is None or not user.is_active:
            return None
        secret = await self._add_token(stored, row.login_session_id, token.token_sha256)
        return OpenSession(user, row.login_session_id, secret)

    async def _add_token(
        self, stored: LoginSessionRepository, login_session_id: UUID, parent: str | None
    ) -> str:
        secret = make_refresh_token()
        expires_at = datetime.now(UTC) + self._ttl
        await stored.add_token(login_session_id, digest(secret), parent, expires_at)
        return secret


async def _facts(
    stored: LoginSessionRepository, token: RefreshToken, *, is_over: bool
) -> RefreshFacts:
    return RefreshFacts(
        expires_at=token.expires_at,
        replaced_at=token.replaced_at,
        is_parent_of_newest=await stored.is_parent_of_newest(token),
        is_session_over=is_over,
    )
