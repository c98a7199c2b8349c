"""The activity that sends email to customers."""

from temporalio import activity

from adapters.email import Mailer
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.notifications import EmailInput, write_email


class MailActivities:
    """The activity that tells customers about their payments by email."""

    def __init__(self, mailer: Mailer, sessions: Sessions) -> None:
        self._mailer = mailer
        self._sessions = sessions

    @activity.defn
    async def send_mail(self, email_input: EmailInput) -> None:
        """Send one email; the same news always has the same message id.

        Args:
            email_input: The news and its recipient.

        Raises:
            UnavailableError: The mail server did not accept the email.
        """
        async with self._sessions() as session:
            user = await UserRepository(session).get(email_input.user_id)
        mail = write_email(email_input)
        if user is None or mail is None:
            return
        await self._mailer.send(user.email, mail, email_input.message_key)
