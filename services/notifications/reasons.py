"""Tells right before a mail is sent whether its reason still holds."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.agents.models import Approval
from database.notifications.models import DueMail
from database.payment_retries.models import PaymentRetry
from database.payments.models import PaymentMethod
from database.subscriptions.models import Subscription
from domain.agents.approvals import ApprovalStatus, decider_role, may_decide
from domain.notifications import MailKind
from domain.payment_retries.lifecycle import RetryStatus
from domain.subscriptions.lifecycle import FINAL, SubscriptionStatus


class Reason(StrEnum):
    """Whether a mail is to be sent: yes, never, or not before its cause is settled."""

    HOLDS = "holds"
    GONE = "gone"
    UNDECIDED = "undecided"


# Status of a payment retry in which a mail about it is true.
_STATUS_OF_RETRY = {
    MailKind.PAYMENT_FAILED: RetryStatus.WAITING,
    MailKind.CARD_NEEDED: RetryStatus.WAITING_PAYMENT_METHOD,
    MailKind.AUTHENTICATION_NEEDED: RetryStatus.WAITING_AUTHENTICATION,
    MailKind.RETRIES_EXHAUSTED: RetryStatus.EXHAUSTED,
}


async def reason_of(session: AsyncSession, mail: DueMail) -> Reason:
    """Return whether the reason of a mail still holds; bring its dates up to date.

    A mail about what has happened for good, such as a receipt, always has its reason.

    Args:
        session: Session to read with.
        mail: The mail.
    """
    look = _LOOKS.get(MailKind(mail.mail_kind))
    if look is None or mail.resource_id is None:
        return Reason.HOLDS
    return await look(session, mail, mail.resource_id)


async def _of_retry(session: AsyncSession, mail: DueMail, retry_id: UUID) -> Reason:
    row = await session.get(PaymentRetry, retry_id)
    if row is not None and row.retry_status == RetryStatus.CHARGING:
        return Reason.UNDECIDED
    if row is None or row.retry_status != _STATUS_OF_RETRY[MailKind(mail.mail_kind)]:
        return Reason.GONE
    if mail.mail_kind == MailKind.PAYMENT_FAILED:
        at = row.next_attempt_at
        told = {"next_attempt_at": at.isoformat() if at else None}
        mail.variables_data = {**mail.variables_data, **told}
    return Reason.HOLDS


async def _of_trial(session: AsyncSession, mail: DueMail, subscription_id: UUID) -> Reason:
    row = await session.get(Subscription, subscription_id)
    is_ending = (
        row is not None
        and row.subscription_status == SubscriptionStatus.TRIALING
        and row.trial_end == datetime.fromisoformat(mail.variables_data["trial_end"])
        and row.cancel_at is None
    )
    return Reason.HOLDS if is_ending else Reason.GONE


async def _of_end(session: AsyncSession, mail: DueMail, subscription_id: UUID) -> Reason:
    row = await session.get(Subscription, subscription_id)
    if row is None:
        return Reason.GONE
    ends_at = mail.variables_data["ends_at"]
    is_planned = ends_at is not None and row.cancel_at == datetime.fromisoformat(ends_at)
    is_told = is_planned or (ends_at is None and row.subscription_status in FINAL)
    return Reason.HOLDS if is_told else Reason.GONE


async def _of_card(session: AsyncSession, mail: DueMail, card_id: UUID) -> Reason:
    row, told = await session.get(PaymentMethod, card_id), mail.variables_data
    is_same = (
        row is not None
        and row.is_default
        and row.detached_at is None
        and (row.exp_year, row.exp_month) == (told["exp_year"], told["exp_month"])
    )
    return Reason.HOLDS if is_same else Reason.GONE


async def _of_approval(session: AsyncSession, mail: DueMail, approval_id: UUID) -> Reason:
    row, user = await session.get(Approval, approval_id), await session.get(User, mail.user_id)
    if row is None or user is None or not user.is_active:
        return Reason.GONE
    role = decider_role(user.user_id, user.role, row.user_id, row.approver_role)
    is_waiting = row.approval_status == ApprovalStatus.PENDING and row.expires_at > datetime.now(
        UTC
    )
    is_asked = may_decide(row.approver_role, row.delegated_to, user.user_id, role)
    return Reason.HOLDS if is_waiting and is_asked else Reason.GONE


_Look = Callable[[AsyncSession, DueMail, UUID], Awaitable[Reason]]
_LOOKS: Mapping[MailKind, _Look] = {
    **dict.fromkeys(_STATUS_OF_RETRY, _of_retry),
    MailKind.TRIAL_ENDING: _of_trial,
    MailKind.CANCELED: _of_end,
    MailKind.CARD_EXPIRING: _of_card,
    MailKind.APPROVAL_NEEDED: _of_approval,
}
