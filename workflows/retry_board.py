"""What others see of a recovery: its row, the Web UI, and mail to the customer."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.retries import NextStep, Recovery
    from domain.retry_messages import RetrySnapshot, RetryStart
    from workflows.retry_desk import RetryDesk
    from workflows.retry_mail import RetryMail
    from workflows.search_attributes import STATUS


class RetryBoard:
    """Shows each next step once."""

    def __init__(self, start: RetryStart, desk: RetryDesk, mail: RetryMail) -> None:
        self.link: str | None = None
        self._mail = mail
        self._payment_retry_id = start.payment_retry_id
        self._desk = desk
        self._step: NextStep | None = None

    def show_charging(self, attempt: int, trigger: str) -> None:
        """Take note that the charge's own activity shows the row as `charging`."""
        self._step = None
        workflow.set_current_details(f"Charging now: attempt {attempt}, {trigger}.")

    async def show(self, step: NextStep, recovery: Recovery, attempt: int) -> None:
        """Let everybody know what comes next, if that is new.

        Args:
            step: What comes next.
            recovery: What is known.
            attempt: Number of the latest charge.
        """
        if step == self._step:
            return
        is_news = self._step is None or step.retry_status is not self._step.retry_status
        self._step = step
        snapshot = self.snapshot(recovery)
        await self._desk.save(snapshot)
        workflow.set_current_details(_told(snapshot, recovery.decline_code))
        if is_news:
            workflow.upsert_search_attributes([STATUS.value_set(snapshot.retry_status)])
            self._mail.send(snapshot, attempt, self.link)

    def snapshot(self, recovery: Recovery) -> RetrySnapshot:
        """Return what the row shows."""
        is_charge = self._step is not None and self._step.action is NextStep.Action.CHARGE
        return RetrySnapshot(
            payment_retry_id=self._payment_retry_id,
            retry_status=recovery.retry_status,
            attempt_count=recovery.attempt_count,
            next_attempt_at=self._step.at if self._step and is_charge else None,
        )


def _told(snapshot: RetrySnapshot, decline_code: str | None) -> str:
    told = f"**{snapshot.retry_status}** after {snapshot.attempt_count} scheduled tries."
    if snapshot.next_attempt_at:
        told += f" Next charge at {snapshot.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC."
    if decline_code:
        told += f" Last decline: `{decline_code}`."
    return told
