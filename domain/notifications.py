"""What customers are told about a failed payment: in plain words, and only what did happen."""

from datetime import datetime
from uuid import UUID

from domain.base import Frozen
from domain.payment_retries.declines import LIMIT_REACHED, NO_CARD, NOT_CHARGED_CODES
from domain.payment_retries.lifecycle import RetryStatus


class EmailInput(Frozen):
    """Argument of `send_mail`: what a payment retry has to tell its customer.

    Args:
        message_key: Makes the message id: the same news is one mail, however often it is sent.
        user_id: To whom.
        retry_status: The news.
        next_attempt_at: When the card is tried again.
        link: Where the customer can pay or authenticate.
        decline_code: Why the last charge failed, or was not made; None if none was tried.
        amount_paid_cents: What was paid, in minor units.
    """

    message_key: str
    user_id: UUID
    retry_status: RetryStatus
    next_attempt_at: datetime | None = None
    link: str | None = None
    decline_code: str | None = None
    amount_paid_cents: int = 0


class Mail(Frozen):
    """Subject and text of a mail."""

    subject: str
    text: str


def write_mail(news: EmailInput) -> Mail | None:
    """Write the mail that belongs to a payment retry's new status.

    Args:
        news: The status, and what is known of it.

    Returns:
        The mail; None if this is no news for a customer.
    """
    where = f"\n\nYou can pay here: {news.link}" if news.link else ""
    if news.retry_status is RetryStatus.WAITING:
        return _waiting(news, where)
    if news.retry_status is RetryStatus.WAITING_PAYMENT_METHOD:
        text = f"{_why_another_card(news.decline_code)} Please add another card.{where}"
        return Mail(subject="Please add another card", text=text)
    if news.retry_status is RetryStatus.WAITING_AUTHENTICATION:
        text = f"Your bank wants you to confirm this payment.{where}"
        return Mail(subject="Please confirm your payment", text=text)
    if news.retry_status is RetryStatus.RECOVERED and news.amount_paid_cents:
        return Mail(subject="Thank you, your payment arrived", text="Your payment arrived.")
    if news.retry_status is RetryStatus.EXHAUSTED:
        # Reason: no link. What is paid now would be paid for a subscription that ends.
        return Mail(subject="We could not collect your payment", text=_exhausted(news))
    return None


def _waiting(news: EmailInput, where: str) -> Mail | None:
    if news.decline_code is None:
        return None  # nothing was tried that could have failed
    when = f" We try again on {news.next_attempt_at:%d %B %Y}." if news.next_attempt_at else ""
    return Mail(subject="Your payment failed", text=f"Your payment failed.{when}{where}")


def _why_another_card(decline_code: str | None) -> str:
    if decline_code == NO_CARD:
        return "There is no card that we could charge."
    if decline_code == LIMIT_REACHED:
        return "Your card has been tried as often as the card networks allow."
    return "Your card was declined and will not be tried again."


def _exhausted(news: EmailInput) -> str:
    if news.decline_code is None or news.decline_code in NOT_CHARGED_CODES:
        return "We could not collect your payment, and do not try again."
    return "Your payment failed, and we do not try again."
