"""Lets users who have forgotten their password set a new one, by a link in a mail."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from database.accounts.login_attempts import LoginAttemptRepository
from database.accounts.login_sessions import LoginSessionRepository
from database.accounts.models import User
from database.accounts.passwords import PasswordRepository
from database.accounts.users import UserRepository
from database.notifications.due_mails import add_due_mail
from database.session import Sessions
from domain.accounts.credentials import digest
from domain.accounts.login_limits import RESET_LIMIT, window_of
from domain.errors import GoneError
from domain.notifications import MailKind, NewMail


class PasswordResets:
    """Sends links by which passwords are set anew, and sets them.

    Args:
        sessions: Factory of database sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def request(self, email: str) -> None:
        """Store a mail with a link, if there is such an active user; at most a few in an hour."""
        key = digest(f"reset\n{email.strip().lower()}")
        async with self._sessions.begin() as session:
            attempts = LoginAttemptRepository(session)
            count = await attempts.count(key, window_of(datetime.now(UTC)))
            user = await UserRepository(session).get_by_email(email.strip())
            # Reason: who logs in elsewhere has no password here, and gets none.
            if user is None or not user.is_active or not user.password_hash or count > RESET_LIMIT:
                return
            mail = NewMail(
                message_key=f"password-reset-{uuid4()}",
                user_id=user.user_id,
                mail_kind=MailKind.PASSWORD_RESET,
            )
            await add_due_mail(session, mail)

    async def find_user(self, token: str) -> User:
        """Return the user of a link.

        Raises:
            GoneError: The link is unknown, was used or has expired (`link_expired`).
        """
        async with self._sessions() as session:
            user = await PasswordRepository(session).owner(digest(token), datetime.now(UTC))
        if user is None:
            raise _expired()
        return user

    async def confirm(self, token: str, password_hash: str) -> UUID:
        """Set a new password by a link, once, and end all sessions of its user.

        Raises:
            GoneError: The link is unknown, was used or has expired (`link_expired`).
        """
        async with self._sessions.begin() as session:
            user_id = await PasswordRepository(session).use(digest(token), datetime.now(UTC))
            if user_id is None:
                raise _expired()
            await PasswordRepository(session).set(user_id, password_hash)
            await LoginSessionRepository(session).revoke(user_id)
        return user_id


def _expired() -> GoneError:
    # Reason: an unknown token is told apart from a used one by nobody but its owner.
    return GoneError("the link has expired, or was used", "link_expired")
