"""Mails: their kinds, and for which facts they are written. Pure."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.payment_retries.declines import LIMIT_REACHED, NO_CARD, NOT_CHARGED_CODES
from domain.payment_retries.lifecycle import RetryStatus
from domain.payment_retries.messages import RetrySnapshot


class MailKind(StrEnum):
    """The kinds of mails; the names of their templates."""

    TRIAL_ENDING = "trial_ending"
    RENEWED = "renewed"
    PAYMENT_FAILED = "payment_failed"
    CARD_NEEDED = "card_needed"
    AUTHENTICATION_NEEDED = "authentication_needed"
    CARD_EXPIRING = "card_expiring"
    RECOVERED = "recovered"
    RETRIES_EXHAUSTED = "retries_exhausted"
    CANCELED = "canceled"
    WEBHOOK_ENDPOINT_OFF = "webhook_endpoint_off"
    APPROVAL_NEEDED = "approval_needed"


class MailStatus(StrEnum):
    """The statuses of a mail in the outbox; a mail whose reason is gone is dropped."""

    DUE = "due"
    SENT = "sent"
    DROPPED = "dropped"
    FAILED = "failed"


class NewMail(Frozen):
    """A mail to send once.

    Args:
        message_key: Names the fact; a second mail with the same key is not stored.
        user_id: Recipient.
        mail_kind: Kind, by which the template is chosen.
        resource_id: Row whose state decides, right before the mail is sent, whether its reason
            still holds; None if its reason cannot go away.
        variables: What the template shows, as JSON: times as ISO 8601, amounts in minor units.
    """

    message_key: str
    user_id: UUID
    mail_kind: MailKind
    resource_id: UUID | None = None
    variables: Mapping[str, Any] = {}


class Email(Frozen):
    """Subject and text of a mail, and the same as HTML if there is a template for it."""

    subject: str
    text: str
    html: str | None = None


class EmailInput(Frozen):
    """The news of a payment retry for its customer.

    Args:
        message_key: Names the news, so that it is told once.
        user_id: Recipient.
        retry_status: New status of the payment retry.
        next_attempt_at: When the card is charged again.
        link: Page on which the customer can pay or authenticate.
        decline_code: Why the last charge failed or was not made; None if none was tried.
        amount_paid_cents: Amount that was paid, in minor units.
    """

    message_key: str
    user_id: UUID
    retry_status: RetryStatus
    next_attempt_at: datetime | None = None
    link: str | None = None
    decline_code: str | None = None
    amount_paid_cents: int = 0


class SaveRetryInput(RetrySnapshot):
    """Input of `save_retry`: the values of the row, and the news to tell its customer, if any."""

    news: EmailInput | None = None


def retry_mail(news: EmailInput, payment_retry_id: UUID | None) -> NewMail | None:
    """Return the mail about the new status of a payment retry.

    Args:
        news: The status and its facts.
        payment_retry_id: The payment retry; None in news of workflows that began before mails
            were stored with the row.

    Returns:
        The mail; None if the customer need not be told.
    """
    told: dict[str, Any] = {}
    match news.retry_status:
        case RetryStatus.WAITING if news.decline_code is not None:
            at = news.next_attempt_at
            kind = MailKind.PAYMENT_FAILED
            told = {"next_attempt_at": at.isoformat() if at else None, "link": news.link}
        case RetryStatus.WAITING_PAYMENT_METHOD:
            kind = MailKind.CARD_NEEDED
            told = {"reason": _why_another_card(news.decline_code), "link": news.link}
        case RetryStatus.WAITING_AUTHENTICATION:
            kind, told = MailKind.AUTHENTICATION_NEEDED, {"link": news.link}
        case RetryStatus.RECOVERED if news.amount_paid_cents:
            kind = MailKind.RECOVERED
        case RetryStatus.EXHAUSTED:
            # Reason: no link. What is paid now would be paid for a subscription that ends.
            kind, told = MailKind.RETRIES_EXHAUSTED, {"is_declined": _is_declined(news)}
        case _:
            return None
    return NewMail(
        message_key=news.message_key,
        user_id=news.user_id,
        mail_kind=kind,
        resource_id=payment_retry_id,
        variables=told,
    )


def _why_another_card(decline_code: str | None) -> str:
    return {NO_CARD: "no_card", LIMIT_REACHED: "card_limit"}.get(decline_code or "", "declined")


def _is_declined(news: EmailInput) -> bool:
    return news.decline_code is not None and news.decline_code not in NOT_CHARGED_CODES


# Path of the page on which the recipient of a mail decides an approval; a token follows.
APPROVAL_LINK_PATH = "/api/v1/approval-links/"

_LINK = "https://pay.example/in_1"
_AT = "2026-11-23T09:00:00+00:00"
_RECEIPT = {"amount_cents": 2_900, "currency_code": "eur", "period_start": _AT, "period_end": _AT}
# For each kind the variables that its templates may use, several sets where texts differ. All
# templates are tried with them when a worker starts.
SAMPLES: Mapping[MailKind, tuple[Mapping[str, Any], ...]] = {
    MailKind.TRIAL_ENDING: tuple(
        {"plan_name": "Pro", "trial_end": _AT, "has_card": has_card} for has_card in (True, False)
    ),
    MailKind.RENEWED: tuple(
        {"plan_name": "Pro", **_RECEIPT, "link": link} for link in (_LINK, None)
    ),
    MailKind.PAYMENT_FAILED: tuple(
        {"next_attempt_at": at, "link": link} for at in (_AT, None) for link in (_LINK, None)
    ),
    MailKind.CARD_NEEDED: tuple(
        {"reason": reason, "link": link}
        for reason in ("no_card", "card_limit", "declined")
        for link in (_LINK, None)
    ),
    MailKind.AUTHENTICATION_NEEDED: ({"link": _LINK}, {"link": None}),
    MailKind.CARD_EXPIRING: (
        {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2026},
    ),
    MailKind.RECOVERED: ({},),
    MailKind.RETRIES_EXHAUSTED: ({"is_declined": True}, {"is_declined": False}),
    MailKind.CANCELED: (
        {"plan_name": "Pro", "ends_at": _AT},
        {"plan_name": "Pro", "ends_at": None},
    ),
    MailKind.WEBHOOK_ENDPOINT_OFF: ({"url": "https://app.example/webhooks", "failing_since": _AT},),
    MailKind.APPROVAL_NEEDED: tuple(
        {
            "tool": "refund_payment",
            "agent": "research",
            "asked_by": "Ada Lovelace",
            "facts": [{"name": "amount_cents", "value": "2500"}],
            "is_question": is_question,
            "expires_at": _AT,
            "link": "https://api.example/api/v1/approval-links/perdure_link_",
        }
        for is_question in (False, True)
    ),
}
