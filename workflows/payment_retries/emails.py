"""Mails of a payment retry to its customer."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.notifications import MailActivities
    from domain.payment_retries.messages import MailOrder, RetrySnapshot, RetryStart
    from workflows.activity_options import MAIL

_KEPT_KEY_COUNT = 50


class RetryMail:
    """Mails that are being sent, and those that were."""

    def __init__(self, start: RetryStart) -> None:
        self.mailed_keys = start.mailed_keys
        self._start = start
        self._sending: list[asyncio.Task[None]] = []

    def send(
        self,
        snapshot: RetrySnapshot,
        attempt: int,
        link: str | None,
        amount_paid_cents: int,
    ) -> None:
        """Send the news of a new status, once; the work never waits for a mail server."""
        key = f"{self._start.stripe_invoice_id}-{attempt}-{snapshot.retry_status}"
        if key in self.mailed_keys:
            return
        self.mailed_keys = (*self.mailed_keys, key)[-_KEPT_KEY_COUNT:]
        order = MailOrder(
            message_key=key,
            user_id=self._start.user_id,
            retry_status=snapshot.retry_status,
            next_attempt_at=snapshot.next_attempt_at,
            link=link,
            decline_code=snapshot.decline_code,
            amount_paid_cents=amount_paid_cents,
        )
        self._sending.append(asyncio.create_task(_send(order)))

    def is_done(self) -> bool:
        """Whether all mails are sent or given up."""
        return all(task.done() for task in self._sending)


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
