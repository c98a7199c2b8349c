"""Limits how many passwords are checked for an account, without telling who has an account."""

import math
from datetime import datetime

from database.accounts.login_attempts import LoginAttemptRepository
from database.session import Sessions
from domain.accounts.credentials import digest
from domain.accounts.login_limits import KNOWN_FOR, WINDOW, limit_of, window_of
from domain.errors import TooManyRequestsError


class LoginThrottle:
    """Counts log-ins by account and address, before their password is checked.

    Args:
        sessions: Factory of database sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def admit(self, email: str, address: str, at: datetime) -> None:
        """Count a log-in, whether or not there is such an account.

        Args:
            email: Email address that was sent.
            address: Address of the client.
            at: The time.

        Raises:
            TooManyRequestsError: Too many were tried in this hour (`too_many_log_ins`); `details`
                has `retry_after_seconds`.
        """
        account, place = _digest(email), _digest(email, address)
        window = window_of(at)
        async with self._sessions.begin() as session:
            attempts = LoginAttemptRepository(session)
            is_known = await attempts.is_known(place, at - KNOWN_FOR)
            count = await attempts.count(place if is_known else account, window)
        if count > limit_of(is_known=is_known):
            seconds = math.ceil((window + WINDOW - at).total_seconds())
            raise TooManyRequestsError(
                "too many log-ins were tried for this account in this hour",
                "too_many_log_ins",
                {"retry_after_seconds": seconds},
            )

    async def remember(self, email: str, address: str, at: datetime) -> None:
        """Remember that somebody has logged in to an account from an address."""
        async with self._sessions.begin() as session:
            await LoginAttemptRepository(session).remember(_digest(email, address), at, KNOWN_FOR)


def _digest(email: str, address: str = "") -> str:
    # Reason: neither addresses nor who is guessed at are to be read from the table.
    return digest(f"{email.strip().lower()}\n{address}")
