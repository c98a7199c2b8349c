"""Shows the progress of a payment retry in its row, in the Web UI and by email."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.notifications import MailActivities
    from domain.notifications import EmailInput, SaveRetryInput
    from domain.parked_steps import ParkedStep
    from domain.payment_retries.lifecycle import NextStep, RetryFacts
    from domain.payment_retries.messages import RetrySnapshot, RetryStart
    from workflows.activity_options import MAIL
    from workflows.payment_retries.activity_calls import RetryActivityCalls
    from workflows.search_attributes import STATUS

_KEPT_KEY_COUNT = 50
# Name of the patch by which mails are stored in the transaction that writes the row.
_MAILS_ARE_STORED = "mails-are-stored"


class RetryEmails:
    """Tells the customer of a payment retry its news, each once."""

    def __init__(self, start: RetryStart) -> None:
        self.mailed_keys = start.mailed_keys
        self._start = start
        self._sending: list[asyncio.Task[None]] = []

    def news(
        self,
        snapshot: RetrySnapshot,
        attempt: int,
        link: str | None,
        amount_paid_cents: int,
    ) -> EmailInput | None:
        """Return the news about a new status; None if it was told before."""
        key = f"{self._start.stripe_invoice_id}-{attempt}-{snapshot.retry_status}"
        if key in self.mailed_keys:
            return None
        self.mailed_keys = (*self.mailed_keys, key)[-_KEPT_KEY_COUNT:]
        return EmailInput(
            message_key=key,
            user_id=self._start.user_id,
            retry_status=snapshot.retry_status,
            next_attempt_at=snapshot.next_attempt_at,
            link=link,
            decline_code=snapshot.decline_code,
            amount_paid_cents=amount_paid_cents,
        )

    def send(self, news: EmailInput) -> None:
        """Send news by an activity of its own, as workflows did before mails were stored."""
        self._sending.append(asyncio.create_task(_send(news)))

    def is_done(self) -> bool:
        """Return whether all emails are sent or given up."""
        return all(task.done() for task in self._sending)


async def _send(email_input: EmailInput) -> None:
    try:
        await workflow.execute_activity_method(
            MailActivities.send_mail,
            email_input,
            **MAIL,
            summary=f"email: {email_input.retry_status}",
        )
    except ActivityError:
        workflow.logger.warning("an email was given up", extra={"key": email_input.message_key})


class RetryProgress:
    """Shows each new state of a payment retry once."""

    def __init__(self, start: RetryStart, calls: RetryActivityCalls, emails: RetryEmails) -> None:
        self.link = start.link
        self.amount_paid_cents = 0
        self.parked: ParkedStep | None = None
        self._emails = emails
        self._payment_retry_id = start.payment_retry_id
        self._calls = calls
        self._next_step: NextStep | None = None
        self._is_saved = True

    def show_charging(self, attempt: int, trigger: str) -> None:
        """Note that the charge's activity sets the row to `charging`."""
        self._is_saved = False
        workflow.set_current_details(f"Charging now: attempt {attempt}, {trigger}.")

    def show_anew(self) -> None:
        """Show the next state in the row even if it has the status of the last one."""
        self._is_saved = False

    async def show(self, step: NextStep, facts: RetryFacts, attempt: int) -> None:
        """Show the next step in the row, in the Web UI and by email, if it is new.

        Args:
            step: The next step.
            facts: The payment retry's current facts.
            attempt: Number of the latest charge.
        """
        if step == self._next_step and self._is_saved:
            return
        is_new = self._next_step is None or step.retry_status is not self._next_step.retry_status
        self._next_step = step
        snapshot = self.snapshot(facts)
        news = None
        if is_new:
            news = self._emails.news(snapshot, attempt, self.link, self.amount_paid_cents)
        is_stored = news is None or workflow.patched(_MAILS_ARE_STORED)
        await self._save(snapshot, news if is_stored else None)
        if is_new:
            workflow.upsert_search_attributes([STATUS.value_set(snapshot.retry_status)])
        if news is not None and not is_stored:
            self._emails.send(news)

    async def show_parked(self, parked: ParkedStep | None, facts: RetryFacts | None) -> None:
        """Show a parked step; None clears it with the next state that is shown."""
        self.parked, self._is_saved = parked, False
        if parked is not None and facts is not None:
            await self._save(self.snapshot(facts))

    def snapshot(self, facts: RetryFacts) -> RetrySnapshot:
        """Return the state that the row shows."""
        is_charge = self._next_step is not None and self._next_step.action is NextStep.Action.CHARGE
        return RetrySnapshot(
            payment_retry_id=self._payment_retry_id,
            retry_status=facts.retry_status,
            attempt_count=facts.attempt_count,
            next_attempt_at=self._next_step.at if self._next_step and is_charge else None,
            decline_code=facts.decline_code,
            paused_reason=facts.paused_reason,
            parked=() if self.parked is None else (self.parked,),
        )

    async def _save(self, snapshot: RetrySnapshot, news: EmailInput | None = None) -> None:
        await self._calls.save(SaveRetryInput(**snapshot.model_dump(), news=news))
        self._is_saved = True
        workflow.set_current_details(_render(snapshot))


def _render(snapshot: RetrySnapshot) -> str:
    text = f"**{snapshot.retry_status}** after {snapshot.attempt_count} scheduled tries."
    if snapshot.next_attempt_at:
        text += f" Next charge at {snapshot.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC."
    if snapshot.decline_code:
        text += f" Last decline: `{snapshot.decline_code}`."
    for parked in snapshot.parked:
        text += f" **Parked:** {parked.step}: {parked.message}."
    return text
