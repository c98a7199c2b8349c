"""What customers are told about a failed payment, in plain words."""

from datetime import datetime

from domain.messages import Frozen
from domain.retries import RetryStatus


class Mail(Frozen):
    """Subject and text of a mail."""

    subject: str
    text: str


def write_mail(
    retry_status: RetryStatus,
    next_attempt_at: datetime | None,
    link: str | None,
) -> Mail | None:
    """Write the mail that belongs to a recovery's new status.

    Args:
        retry_status: The news.
        next_attempt_at: When the card is tried again, if it is.
        link: Where the customer can pay or authenticate, if there is such a place.

    Returns:
        The mail; None if this status is no news for a customer.
    """
    where = f"\n\nYou can pay here: {link}" if link else ""
    if retry_status is RetryStatus.WAITING:
        when = f" We try again on {next_attempt_at:%d %B %Y}." if next_attempt_at else ""
        return Mail(subject="Your payment failed", text=f"Your payment failed.{when}{where}")
    if retry_status is RetryStatus.WAITING_PAYMENT_METHOD:
        text = f"Your card was refused for good. Please add another card.{where}"
        return Mail(subject="Please add another card", text=text)
    if retry_status is RetryStatus.WAITING_AUTHENTICATION:
        text = f"Your bank wants you to confirm this payment.{where}"
        return Mail(subject="Please confirm your payment", text=text)
    if retry_status is RetryStatus.RECOVERED:
        return Mail(subject="Thank you, your payment arrived", text="Your payment arrived.")
    if retry_status is RetryStatus.EXHAUSTED:
        text = f"All our attempts to charge your card have failed.{where}"
        return Mail(subject="We could not collect your payment", text=text)
    return None
