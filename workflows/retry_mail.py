"""News of a recovery for its customer."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.mail import MailActivities
    from domain.retry_messages import MailOrder, RetrySnapshot, RetryStart
    from workflows.timeouts import MAIL


class RetryMail:
    """Mails on their way."""

    def __init__(self, start: RetryStart) -> None:
        self._start = start
        self._sending: list[asyncio.Task[None]] = []

    def send(self, snapshot: RetrySnapshot, attempt: int, link: str | None) -> None:
        """Send the news of a new status, beside the work: it never waits for a mail server."""
        order = MailOrder(
            message_key=f"{self._start.stripe_invoice_id}-{attempt}-{snapshot.retry_status}",
            user_id=self._start.user_id,
            retry_status=snapshot.retry_status,
            next_attempt_at=snapshot.next_attempt_at,
            link=link,
        )
        self._sending.append(asyncio.create_task(_send(order)))

    async def finish(self) -> None:
        """Wait until all mails are sent or given up."""
        await asyncio.gather(*self._sending)
        self._sending.clear()


async def _send(order: MailOrder) -> None:
    try:
        await workflow.execute_activity_method(
            MailActivities.send_mail,
            order,
            **MAIL,
            summary=f"mail: {order.retry_status}",
        )
    except ActivityError:
        workflow.logger.warning("a mail was given up", extra={"key": order.message_key})
