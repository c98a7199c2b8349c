"""Sends the mails of the outbox: each once, and only while its reason holds."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Protocol

import structlog

from adapters.email.mailer import Mailer
from adapters.email.rendering import MailTemplates
from database.accounts.passwords import PasswordRepository
from database.accounts.users import UserRepository
from database.notifications.approval_links import ApprovalLinkRepository
from database.notifications.due_mails import DueMailRepository, add_due_mails
from database.notifications.models import DueMail
from database.payments.models import PaymentMethod
from database.session import DATABASE_DOWN, Sessions
from database.subscriptions.expiring_cards import expiring_cards
from domain.errors import ProviderRejectedError, UnavailableError
from domain.notifications import MailKind, MailStatus, NewMail
from observability.logging import hide_secrets
from observability.metrics import MAILS
from services.notifications.reasons import Reason, reason_of

POLL_SECONDS = 1.0
BATCH_SIZE = 20
# Longer than all that is done for a mail, so that no other process sends it meanwhile.
LEASE = timedelta(seconds=60)
# A mail that could not be sent for so long is given up.
GIVE_UP_AFTER = timedelta(days=3)
MAX_WAIT = timedelta(minutes=5)
UNDECIDED_WAIT = timedelta(seconds=5)
# How long before its end a card is announced to expire.
EXPIRY_NOTICE = timedelta(days=30)
# How long links in mails are kept after they have expired.
LINKS_KEPT_FOR = timedelta(days=30)
# How often such cards are searched, and such links deleted.
CHORE_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


class LinkMails(Protocol):
    """Fills mails of one kind right before they are sent, each with a link of its own."""

    async def variables(self, mail: DueMail) -> dict[str, Any]:
        """Return what a mail says, and store a new link of its recipient."""


class MailSender:
    """Sends what is due in `due_mails`; several processes may run one.

    A mail is claimed for a while. If the process dies after the mail server took the mail and
    before the row says so, it is sent again under the same message id.
    """

    def __init__(
        self,
        sessions: Sessions,
        mailer: Mailer,
        templates: MailTemplates,
        links: Mapping[MailKind, LinkMails],
    ) -> None:
        self._sessions = sessions
        self._mailer = mailer
        self._templates = templates
        self._links = links
        self._chores_done_at: float | None = None
        self._is_database_down = False

    def check_templates(self) -> None:
        """Render all templates once, so that a broken one is found when a worker starts.

        Raises:
            InvalidInputError: A template is broken.
        """
        self._templates.check()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            count = 0
            try:
                count = await self.send_due()
                await self._do_chores()
                self._is_database_down = False
            except DATABASE_DOWN as error:
                if not self._is_database_down:
                    log.warning("mails_wait_for_database", error=type(error).__name__)
                self._is_database_down = True
            except Exception:
                log.exception("mails_not_sent")
            if count < BATCH_SIZE:
                await asyncio.sleep(POLL_SECONDS)

    async def send_due(self) -> int:
        """Send the mails that are due, up to one batch.

        Returns:
            Number of mails that were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            due = await DueMailRepository(session).claim(BATCH_SIZE, LEASE)
        await asyncio.gather(*[self._process(mail) for mail in due])
        return len(due)

    async def _process(self, mail: DueMail) -> None:
        """Send, drop or postpone one mail; no error of one mail holds up the others."""
        try:
            async with self._sessions() as session:
                reason = await reason_of(session, mail)
            if reason is Reason.UNDECIDED:
                await self._postpone(mail, UNDECIDED_WAIT, None)
            elif reason is Reason.GONE:
                await self._settle(mail, MailStatus.DROPPED)
            else:
                await self._send(mail)
                await self._settle(mail, MailStatus.SENT)
        except DATABASE_DOWN:
            raise
        except ProviderRejectedError as error:
            # Reason: a server that refuses a mail may quote a link from it.
            await self._settle(mail, MailStatus.FAILED, hide_secrets(str(error)))
        except UnavailableError as error:
            await self._retry_later(mail, error)
        except Exception as error:
            log.exception("mail_not_sent", due_mail_id=str(mail.due_mail_id))
            await self._retry_later(mail, error)

    async def _send(self, mail: DueMail) -> None:
        async with self._sessions() as session:
            user = await UserRepository(session).get(mail.user_id)
        if user is None:
            return  # was erased since, and the mail's row with it
        kind = MailKind(mail.mail_kind)
        variables = mail.variables_data
        if kind in self._links:
            # Reason: the token of its link must not lie in the outbox.
            variables = await self._links[kind].variables(mail)
        email = self._templates.render(kind, user.locale, variables)
        await self._mailer.send(user.email, email, str(mail.due_mail_id))

    async def _retry_later(self, mail: DueMail, error: Exception) -> None:
        text = hide_secrets(f"{type(error).__name__}: {error}")[:500]
        if datetime.now(UTC) - mail.created_at > GIVE_UP_AFTER:
            await self._settle(mail, MailStatus.FAILED, text)
            return
        wait = timedelta(seconds=2 ** min(mail.attempt_count, 9))
        await self._postpone(mail, min(wait, MAX_WAIT), text)

    async def _postpone(self, mail: DueMail, wait: timedelta, error: str | None) -> None:
        async with self._sessions.begin() as session:
            await DueMailRepository(session).postpone(mail.due_mail_id, wait, error)

    async def _settle(self, mail: DueMail, status: MailStatus, error: str | None = None) -> None:
        async with self._sessions.begin() as session:
            await DueMailRepository(session).settle(mail.due_mail_id, status, error)
        MAILS.labels(mail.mail_kind, status).inc()
        report = log.error if status is MailStatus.FAILED else log.info
        report(
            f"mail_{status}", due_mail_id=str(mail.due_mail_id), kind=mail.mail_kind, error=error
        )

    async def _do_chores(self) -> None:
        """Store mails about cards that expire soon, and delete old links, once an hour."""
        now = monotonic()
        if self._chores_done_at is not None and now - self._chores_done_at < CHORE_SECONDS:
            return
        self._chores_done_at = now
        async with self._sessions.begin() as session:
            await ApprovalLinkRepository(session).delete_old(LINKS_KEPT_FOR)
            await PasswordRepository(session).delete_old(LINKS_KEPT_FOR)
            cards = await expiring_cards(session, datetime.now(UTC).date(), EXPIRY_NOTICE)
            await add_due_mails(session, [_mail_about(card) for card in cards])


def _mail_about(card: PaymentMethod) -> NewMail:
    """Return the mail about a card that expires soon; one that is renewed has another key."""
    return NewMail(
        message_key=f"card-expiring-{card.payment_method_id}-{card.exp_year}-{card.exp_month}",
        user_id=card.user_id,
        mail_kind=MailKind.CARD_EXPIRING,
        resource_id=card.payment_method_id,
        variables={
            "brand": card.brand,
            "last4": card.last4,
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
        },
    )
