"""Repository of log-in sessions and their refresh tokens; the caller owns the transaction."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import LoginSession, RefreshToken


class LoginSessionRepository:
    """Reads and writes `login_sessions` and `refresh_tokens` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, user_id: UUID) -> UUID:
        """Add a session of a user, and return its id."""
        row = LoginSession(user_id=user_id)
        self._session.add(row)
        await self._session.flush()
        return row.login_session_id

    async def find(self, token_sha256: str) -> tuple[LoginSession, RefreshToken] | None:
        """Return a refresh token and its session, which stays locked; None if there is none."""
        found = await self._session.execute(
            select(LoginSession, RefreshToken)
            .join(RefreshToken, RefreshToken.login_session_id == LoginSession.login_session_id)
            .where(RefreshToken.token_sha256 == token_sha256)
            .with_for_update(of=LoginSession)
            # Reason: whoever waited for the lock must see what the other one has written.
            .execution_options(populate_existing=True)
        )
        row = found.one_or_none()
        if row is None:
            return None
        await self._session.refresh(row[1])
        return row[0], row[1]

    async def is_parent_of_newest(self, token: RefreshToken) -> bool:
        """Tell whether the newest token of the session took the place of this one."""
        statement = select(RefreshToken.parent_sha256).where(
            RefreshToken.login_session_id == token.login_session_id,
            RefreshToken.replaced_at.is_(None),
        )
        return await self._session.scalar(statement) == token.token_sha256

    async def add_token(
        self, login_session_id: UUID, token_sha256: str, parent: str | None, expires_at: datetime
    ) -> None:
        """Store a new token in the place of the session's newest one.

        Args:
            login_session_id: The session.
            token_sha256: Digest of the new token.
            parent: Digest of the token that was sent; None for the first one.
            expires_at: When the new token can no longer be used.
        """
        await self._session.execute(
            update(RefreshToken)
            .where(
                RefreshToken.login_session_id == login_session_id,
                RefreshToken.replaced_at.is_(None),
            )
            .values(replaced_at=func.now())
        )
        await self._session.execute(
            insert(RefreshToken).values(
                token_sha256=token_sha256,
                login_session_id=login_session_id,
                parent_sha256=parent,
                expires_at=expires_at,
            )
        )

    async def is_open(self, login_session_id: UUID) -> bool:
        """Tell whether there is such a session, and it is not revoked."""
        return bool(await self.not_revoked([login_session_id]))

    async def not_revoked(self, login_session_ids: Collection[UUID | None]) -> set[UUID]:
        """Return the ids of the sessions among these that are not revoked."""
        statement = select(LoginSession.login_session_id).where(
            LoginSession.login_session_id.in_(login_session_ids),
            LoginSession.revoked_at.is_(None),
        )
        return set(await self._session.scalars(statement))

    async def revoke(
        self, user_id: UUID, *, only: UUID | None = None, but: UUID | None = None
    ) -> None:
        """Revoke sessions of a user; revoking them again is no error.

        Args:
            user_id: The user.
            only: The one session to revoke; None for all.
            but: A session that goes on.
        """
        statement = (
            update(LoginSession)
            .where(LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
        if only is not None:
            statement = statement.where(LoginSession.login_session_id == only)
        if but is not None:
            statement = statement.where(LoginSession.login_session_id != but)
        await self._session.execute(statement)

    async def forget_expired(self, user_id: UUID) -> None:
        """Delete the sessions of a user of which no token can be used any more."""
        has_token = exists().where(
            RefreshToken.login_session_id == LoginSession.login_session_id,
            RefreshToken.expires_at >= func.now(),
        )
        await self._session.execute(
            delete(LoginSession).where(LoginSession.user_id == user_id, ~has_token)
        )
