"""Mail to customers."""

from temporalio import activity

from adapters.email import Mailer
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.notifications import EmailInput, write_mail


class MailActivities:
    """Tells customers what their card did."""

    def __init__(self, mailer: Mailer, sessions: Sessions) -> None:
        self._mailer = mailer
        self._sessions = sessions

    @activity.defn
    async def send_mail(self, order: EmailInput) -> None:
        """Send one piece of news; the same news always has the same message id.

        Args:
            order: The news, and to whom.

        Raises:
            UnavailableError: The mail server did not take it.
        """
        async with self._sessions() as session:
            user = await UserRepository(session).get(order.user_id)
        mail = write_mail(order)
        if user is None or mail is None:
            return
        await self._mailer.send(user.email, mail, order.message_key)
