"""Writes the emails that customers get about failed payments."""

from datetime import datetime
from uuid import UUID

from domain.base import Frozen
from domain.payment_retries.declines import LIMIT_REACHED, NO_CARD, NOT_CHARGED_CODES
from domain.payment_retries.lifecycle import RetryStatus


class EmailInput(Frozen):
    """Input of `send_mail`: the news of a payment retry for its customer.

    Args:
        message_key: Makes the message id, so that repeated sends are one email.
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


class Email(Frozen):
    """Subject and text of an email."""

    subject: str
    text: str


def write_email(news: EmailInput) -> Email | None:
    """Write the email about the new status of a payment retry.

    Args:
        news: The status and its facts.

    Returns:
        The email; None if the customer need not be told.
    """
    where = f"\n\nYou can pay here: {news.link}" if news.link else ""
    if news.retry_status is RetryStatus.WAITING:
        return _waiting(news, where)
    if news.retry_status is RetryStatus.WAITING_PAYMENT_METHOD:
        text = f"{_why_another_card(news.decline_code)} Please add another card.{where}"
        return Email(subject="Please add another card", text=text)
    if news.retry_status is RetryStatus.WAITING_AUTHENTICATION:
        text = f"Your bank wants you to confirm this payment.{where}"
        return Email(subject="Please confirm your payment", text=text)
    if news.retry_status is RetryStatus.RECOVERED and news.amount_paid_cents:
        return Email(subject="Thank you, your payment arrived", text="Your payment arrived.")
    if news.retry_status is RetryStatus.EXHAUSTED:
        # Reason: no link. What is paid now would be paid for a subscription that ends.
        return Email(subject="We could not collect your payment", text=_exhausted(news))
    return None


def _waiting(news: EmailInput, where: str) -> Email | None:
    if news.decline_code is None:
        return None  # no charge was tried, so none has failed
    when = f" We will try again on {news.next_attempt_at:%d %B %Y}." if news.next_attempt_at else ""
    return Email(subject="Your payment failed", text=f"Your payment failed.{when}{where}")


def _why_another_card(decline_code: str | None) -> str:
    if decline_code == NO_CARD:
        return "There is no card that we can charge."
    if decline_code == LIMIT_REACHED:
        return "Your card has been tried as often as the card networks allow."
    return "Your card was declined and will not be tried again."


def _exhausted(news: EmailInput) -> str:
    if news.decline_code is None or news.decline_code in NOT_CHARGED_CODES:
        return "We could not collect your payment, and we will not try again."
    return "Your payment failed, and we will not try again."
