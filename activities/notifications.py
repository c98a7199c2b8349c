"""The activity that stores mails for workflows that began before rows and mails were one write."""

from temporalio import activity

from database.notifications.due_mails import add_due_mail
from database.session import Sessions
from domain.notifications import EmailInput, retry_mail


class MailActivities:
    """The activity that stores the mail about a payment retry."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def send_mail(self, email_input: EmailInput) -> None:
        """Store one mail to send; workflows that begin now store it with `save_retry`.

        Args:
            email_input: The news and its recipient.
        """
        mail = retry_mail(email_input, None)
        if mail is not None:
            async with self._sessions.begin() as session:
                await add_due_mail(session, mail)
