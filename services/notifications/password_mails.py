"""Fills the mails by which users set new passwords, each with a link of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

from database.accounts.passwords import PasswordRepository
from database.notifications.models import DueMail
from database.session import Sessions
from domain.accounts.credentials import digest, make_link_token

TTL = timedelta(hours=1)
PLACE_OF_TOKEN = "{token}"  # noqa: S105 - a name


class PasswordMails:
    """Makes the links of mails about passwords.

    Args:
        sessions: Database sessions.
        page: Address of the team's page, with `{token}` in it.
    """

    def __init__(self, sessions: Sessions, page: str) -> None:
        self._sessions = sessions
        self._page = page

    async def variables(self, mail: DueMail) -> dict[str, Any]:
        """Return what a mail says, and store a new link of its recipient."""
        token, expires_at = make_link_token(), datetime.now(UTC) + TTL
        async with self._sessions.begin() as session:
            resets = PasswordRepository(session)
            await resets.add_link(mail.user_id, digest(token), expires_at)
        link = self._page.replace(PLACE_OF_TOKEN, token)
        return {"link": link, "expires_at": expires_at.isoformat()}
