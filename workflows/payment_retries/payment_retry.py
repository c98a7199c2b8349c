"""The workflow that collects one unpaid invoice: it waits, charges, and in the end gives up."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import IllegalCommandError
    from domain.payment_retries.lifecycle import RetryStatus
    from domain.payment_retries.messages import (
        RetryCommand,
        RetryCommandKind,
        RetryNow,
        RetrySnapshot,
        RetryStart,
    )
    from workflows.payment_retries.handlers import RetryHandlers
    from workflows.payment_retries.progress import RetryEmails


@workflow.defn(name="PaymentRetryWorkflow")
class PaymentRetryWorkflow:
    """The workflow of one unpaid invoice; its id is `payment-retry-{stripe_invoice_id}`.

    Commands go into a mailbox that only `run` empties, so a charge in flight is finished first. No
    error ends the workflow: a step that fails for good is parked, and retried later.
    """

    @workflow.init
    def __init__(self, start: RetryStart) -> None:
        self._start = start
        self._emails = RetryEmails(start)
        self._handlers = RetryHandlers(start, self._emails)

    @workflow.run
    async def run(self, start: RetryStart) -> RetryStatus:
        """Collect the invoice until it is paid, gone, or the retries are exhausted.

        Args:
            start: Invoice, policy and owner.

        Returns:
            The final status.
        """
        while True:
            while not self._handlers.is_closed():
                await self._wait_until(await self._handlers.handle_next())
            await self._handlers.close()
            await workflow.wait_condition(lambda: bool(self._handlers.commands) or self._is_idle())
            if not self._handlers.commands:
                return self._handlers.retry_status

    async def _wait_until(self, at: datetime | None) -> None:
        if self._handlers.commands or (at is not None and at <= workflow.now()):
            return
        if workflow.info().get_current_history_length() >= self._start.continue_as_new_after:
            await self._continue_as_new()
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._handlers.commands),
                timeout=None if at is None else at - workflow.now(),
                timeout_summary="next step",
            )

    async def _continue_as_new(self) -> None:
        await workflow.wait_condition(lambda: bool(self._handlers.commands) or self._is_idle())
        if not self._handlers.commands:  # no await between this and the next line
            workflow.continue_as_new(self._handlers.to_start_input(self._emails.mailed_keys))

    def _is_idle(self) -> bool:
        return self._emails.is_done() and workflow.all_handlers_finished()

    @workflow.signal
    def command(self, command: RetryCommand) -> None:
        """Put a command into the mailbox."""
        self._handlers.put(command)

    @workflow.update
    async def retry_now(self, command: RetryNow) -> RetrySnapshot:
        """Charge the invoice at once, in addition to the schedule.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The payment retry's state, also after a declined charge.

        Raises:
            ApplicationError: The payment retry has ended, or is suspended for a newer invoice.
        """
        await self._execute_command(RetryCommandKind.RETRY_NOW, command.command_id)
        return self.view()

    @retry_now.validator
    def _validate_retry(self, command: RetryNow) -> None:
        status = self._handlers.retry_status
        if self._handlers.is_closed() or status is RetryStatus.PAUSED:
            raise ApplicationError(
                f"the payment retry is {status}",
                {"retry_status": status},
                type=IllegalCommandError.code,
            )

    @workflow.update
    async def retry_parked(self, command: RetryNow) -> RetrySnapshot:
        """Retry a parked step at once.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The payment retry's state after the retry.
        """
        await self._execute_command(RetryCommandKind.RETRY_PARKED, command.command_id)
        return self.view()

    async def _execute_command(self, kind: RetryCommandKind, command_id: UUID) -> None:
        self._handlers.put(RetryCommand(kind=kind, command_id=command_id))
        await workflow.wait_condition(lambda: command_id in self._handlers.answered)

    @workflow.query
    def view(self) -> RetrySnapshot:
        """Return the payment retry's state without adding to the history."""
        return self._handlers.snapshot()

    def log_fields(self) -> dict[str, object]:
        """Return fields for the log lines of the payment retry's start and end."""
        snapshot = self._handlers.snapshot()
        is_recovered = snapshot.retry_status is RetryStatus.RECOVERED
        return {
            "payment_retry_id": str(self._start.payment_retry_id),
            "subscription_id": str(self._start.subscription_id),
            "user_id": str(self._start.user_id),
            "attempt_count": snapshot.attempt_count,
            "reason": None if is_recovered else snapshot.decline_code,
        }
