"""Repository of the mails to send; the caller owns the transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.notifications.models import DueMail
from domain.notifications import MailStatus, NewMail

_DUE = DueMail.mail_status == MailStatus.DUE


async def add_due_mail(session: AsyncSession, mail: NewMail) -> None:
    """Store a mail to send once, in the transaction of the fact that it tells.

    Args:
        session: Session in whose transaction the fact is written.
        mail: The mail; if its key is stored already, nothing happens.
    """
    await add_due_mails(session, [mail])


async def add_due_mails(session: AsyncSession, mails: Sequence[NewMail]) -> None:
    """Store several mails, each to be sent once; those whose key is stored are left out."""
    if not mails:
        return
    rows = [
        mail.model_dump(exclude={"variables"}) | {"variables_data": dict(mail.variables)}
        for mail in mails
    ]
    statement = insert(DueMail).on_conflict_do_nothing(index_elements=["message_key"])
    await session.execute(statement, rows)


class DueMailRepository:
    """Claims and settles `due_mails` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueMail]:
        """Claim mails that are due and count an attempt; after the lease they are due again."""
        due = (
            select(DueMail.due_mail_id)
            .where(_DUE, DueMail.next_attempt_at <= func.now())
            .order_by(DueMail.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(DueMail)
            .where(DueMail.due_mail_id.in_(due.scalar_subquery()))
            .values(
                next_attempt_at=func.now() + lease,
                attempt_count=DueMail.attempt_count + 1,
            )
            .returning(DueMail)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).all()

    async def settle(self, due_mail_id: UUID, status: MailStatus, error: str | None = None) -> None:
        """Store the final status of a mail."""
        await self._update(due_mail_id, mail_status=status, last_error=error, settled_at=func.now())

    async def postpone(self, due_mail_id: UUID, wait: timedelta, error: str | None) -> None:
        """Postpone a mail that cannot be sent now."""
        await self._update(due_mail_id, next_attempt_at=func.now() + wait, last_error=error)

    async def _update(self, due_mail_id: UUID, **values: Any) -> None:
        await self._session.execute(
            update(DueMail).where(DueMail.due_mail_id == due_mail_id, _DUE).values(**values),
        )
