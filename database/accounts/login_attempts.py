"""Repository of counted log-ins and known addresses; the caller owns the transaction."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from database.accounts.models import KnownAddress, LoginAttempts
from database.base import Base

_KEPT_FOR = timedelta(hours=2)
# Each new row takes away a few old ones, so that no table grows for long.
_PRUNED_COUNT = 10


class LoginAttemptRepository:
    """Reads and writes `login_attempts` and `known_addresses` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count(self, key_sha256: str, window_start: datetime) -> int:
        """Count one more attempt, and return how many there were in the window."""
        table = LoginAttempts
        written = insert(table).values(
            key_sha256=key_sha256, window_start=window_start, attempt_count=1
        )
        is_same = table.window_start == written.excluded.window_start
        statement = written.on_conflict_do_update(
            index_elements=[table.key_sha256],
            set_={
                "attempt_count": case((is_same, table.attempt_count + 1), else_=1),
                "window_start": written.excluded.window_start,
            },
        ).returning(table.attempt_count)
        count = await self._session.scalar(statement) or 0
        if count == 1:
            await self._prune(window_start - _KEPT_FOR)
        return count

    async def is_known(self, key_sha256: str, since: datetime) -> bool:
        """Tell whether somebody has logged in with this account and address since a time."""
        statement = select(KnownAddress.key_sha256).where(
            KnownAddress.key_sha256 == key_sha256, KnownAddress.last_login_at >= since
        )
        return await self._session.scalar(statement) is not None

    async def remember(self, key_sha256: str, at: datetime, kept_for: timedelta) -> None:
        """Store that somebody has logged in with this account and address.

        Args:
            key_sha256: Digest of the account and the address.
            at: When it was.
            kept_for: How long an address is remembered; a few that are older are deleted.
        """
        statement = insert(KnownAddress).values(key_sha256=key_sha256, last_login_at=at)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[KnownAddress.key_sha256], set_={"last_login_at": at}
            )
        )

        await self._delete_few(
            KnownAddress, KnownAddress.known_address_id, KnownAddress.last_login_at < at - kept_for
        )

    async def _prune(self, before: datetime) -> None:
        await self._delete_few(
            LoginAttempts, LoginAttempts.login_attempt_id, LoginAttempts.window_start < before
        )

    async def _delete_few(
        self, table: type[Base], key: InstrumentedAttribute[UUID], is_old: ColumnElement[bool]
    ) -> None:
        old = select(key).where(is_old).limit(_PRUNED_COUNT).with_for_update(skip_locked=True)
        await self._session.execute(delete(table).where(key.in_(old)))
