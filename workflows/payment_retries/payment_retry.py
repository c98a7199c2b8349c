"""Collect one unpaid invoice: wait, charge, wait longer, ask for a card, give up in good order."""

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
    from workflows.payment_retries.handlers import RetryTurns
    from workflows.payment_retries.progress import RetryMail


@workflow.defn(name="PaymentRetryWorkflow")
class PaymentRetryWorkflow:
    """One execution per unpaid invoice; its id is `payment-retry-{stripe_invoice_id}`.

    Commands go into a box that only `run` empties: a charge in flight comes to its end first. No
    error ends it: a step that cannot be taken is parked, and tried again.
    """

    @workflow.init
    def __init__(self, start: RetryStart) -> None:
        self._start = start
        self._mail = RetryMail(start)
        self._turns = RetryTurns(start, self._mail)

    @workflow.run
    async def run(self, start: RetryStart) -> RetryStatus:
        """Try until the invoice is paid, gone, or all has been tried.

        Args:
            start: Invoice, policy and owner.

        Returns:
            How it ended.
        """
        while True:
            while not self._turns.is_closed():
                await self._wait_until(await self._turns.handle_next())
            await self._turns.close()
            await workflow.wait_condition(lambda: bool(self._turns.commands) or self._is_idle())
            if not self._turns.commands:
                return self._turns.retry_status

    async def _wait_until(self, at: datetime | None) -> None:
        if self._turns.commands or (at is not None and at <= workflow.now()):
            return
        if workflow.info().get_current_history_length() >= self._start.rotate_after:
            await self._rotate()
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._turns.commands),
                timeout=None if at is None else at - workflow.now(),
                timeout_summary="next step",
            )

    async def _rotate(self) -> None:
        await workflow.wait_condition(lambda: bool(self._turns.commands) or self._is_idle())
        if not self._turns.commands:  # no await between this and the next line
            workflow.continue_as_new(self._turns.carried(self._mail.mailed_keys))

    def _is_idle(self) -> bool:
        return self._mail.is_done() and workflow.all_handlers_finished()

    @workflow.signal
    def command(self, command: RetryCommand) -> None:
        """Put a command into the box."""
        self._turns.put(command)

    @workflow.update
    async def retry_now(self, command: RetryNow) -> RetrySnapshot:
        """Charge at once, beside the schedule.

        Args:
            command: Its id is the update's id.

        Returns:
            Where the payment retry stands, also after a declined charge.

        Raises:
            ApplicationError: It has ended, or is suspended for a newer invoice.
        """
        await self._ask(RetryCommandKind.RETRY_NOW, command.command_id)
        return self.view()

    @retry_now.validator
    def _validate_retry(self, command: RetryNow) -> None:
        status = self._turns.retry_status
        if self._turns.is_closed() or status is RetryStatus.PAUSED:
            raise ApplicationError(
                f"the payment retry is {status}",
                {"retry_status": status},
                type=IllegalCommandError.code,
            )

    @workflow.update
    async def retry_parked(self, command: RetryNow) -> RetrySnapshot:
        """Take a parked step again at once.

        Args:
            command: Its id is the update's id.

        Returns:
            Where the payment retry stands after that.
        """
        await self._ask(RetryCommandKind.RETRY_PARKED, command.command_id)
        return self.view()

    async def _ask(self, kind: RetryCommandKind, command_id: UUID) -> None:
        self._turns.put(RetryCommand(kind=kind, command_id=command_id))
        await workflow.wait_condition(lambda: command_id in self._turns.answered)

    @workflow.query
    def view(self) -> RetrySnapshot:
        """Return where the payment retry stands, without touching history."""
        return self._turns.snapshot()
