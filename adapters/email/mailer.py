"""Sends mail by SMTP."""

from email.message import EmailMessage

import aiosmtplib

from domain.errors import ProviderRejectedError, UnavailableError
from domain.notifications import Email

SEND_TIMEOUT_SECONDS = 15.0
NONE, STARTTLS, IMPLICIT = "none", "starttls", "implicit"
# From here on an SMTP server's code is a refusal that no retry changes.
_PERMANENT = 500


class Mailer:
    """Sends mail through one SMTP server."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        *,
        username: str | None = None,
        password: str | None = None,
        security: str = NONE,
    ) -> None:
        self._host, self._port, self._sender = host, port, sender
        self._username, self._password, self._security = username, password, security

    async def send(self, to: str, mail: Email, message_key: str) -> None:
        """Send a mail.

        Args:
            to: Address of the recipient.
            mail: Subject and text, also as HTML if there is any.
            message_key: Key for the message id, by which receivers drop a repeated mail.

        Raises:
            UnavailableError: The server cannot be reached, or refuses for now.
            ProviderRejectedError: The server refuses this recipient or this mail for good.
        """
        message = self._compose(to, mail, message_key)
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._security == IMPLICIT,
                # Reason: None would mean STARTTLS if the server offers it, else no encryption.
                start_tls=self._security == STARTTLS,
                timeout=SEND_TIMEOUT_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            text = f"the mail server did not accept the mail: {error}"
            kind = ProviderRejectedError if _is_permanent(error) else UnavailableError
            raise kind(text) from error

    def _compose(self, to: str, mail: Email, message_key: str) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, to, mail.subject
        message["Message-ID"] = f"<{message_key}@{self._sender.rpartition('@')[2]}>"
        message.set_content(mail.text)
        if mail.html is not None:
            message.add_alternative(mail.html, subtype="html")
        return message


def _is_permanent(error: Exception) -> bool:
    """Return whether a server refused the recipient or the mail, not us, and for good."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(refused.code >= _PERMANENT for refused in error.recipients)
    return isinstance(error, aiosmtplib.SMTPDataError) and error.code >= _PERMANENT
