"""Recover one unpaid invoice: wait, charge, wait longer, ask for a card, give up in good order."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import IllegalCommandError
    from domain.retries import CLOSED, AttemptTrigger, NextStep, RetryStatus, next_step
    from domain.retry_messages import RetryNow, RetrySnapshot, RetryStart, RetryWish, WishKind
    from workflows.retry_board import RetryBoard
    from workflows.retry_desk import RetryDesk
    from workflows.retry_mail import RetryMail
    from workflows.retry_turns import RetryTurns


@workflow.defn(name="PaymentRetryWorkflow")
class PaymentRetryWorkflow:
    """One execution per unpaid invoice; its id is `payment-retry-{stripe_invoice_id}`.

    Wishes go into a box that only `run` empties: a charge in flight comes to its end first.
    """

    @workflow.init
    def __init__(self, start: RetryStart) -> None:
        self._start = start
        self._mail, desk = RetryMail(start), RetryDesk(start)
        self._turns = RetryTurns(start, desk, RetryBoard(start, desk, self._mail))
        self._answered: set[UUID] = set()

    @workflow.run
    async def run(self, start: RetryStart) -> RetryStatus:
        """Try until the invoice is paid, gone, or all has been tried.

        Args:
            start: Invoice, policy and owner.

        Returns:
            How it ended.
        """
        await self._turns.open()
        while not self._is_closed():
            await self._turn()
        await self._turns.close()
        await workflow.wait_condition(workflow.all_handlers_finished)  # they see that we closed
        await self._mail.finish()
        return self._turns.recovery.retry_status

    async def _turn(self) -> None:
        step = next_step(self._start.policy.policy, self._turns.recovery)
        if self._turns.wishes:
            wish = self._turns.wishes.popleft()
            await self._turns.grant(wish)
            if wish.command_id is not None:
                self._answered.add(wish.command_id)
        elif step.at is None or step.at > workflow.now():
            await self._turns.show(step)
            await self._wait_until(step.at)
        elif step.action is NextStep.Action.CHARGE:
            await self._turns.charge(AttemptTrigger.SCHEDULED)
        else:
            self._turns.give_up()

    async def _wait_until(self, at: datetime | None) -> None:
        if workflow.info().get_current_history_length() >= self._start.rotate_after:
            await self._rotate()
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._turns.wishes),
                timeout=None if at is None else at - workflow.now(),
                timeout_summary="next step",
            )

    async def _rotate(self) -> None:
        await self._mail.finish()
        wishes = self._turns.wishes
        await workflow.wait_condition(lambda: bool(wishes) or workflow.all_handlers_finished())
        if not wishes:  # no await between this and the next line
            workflow.continue_as_new(self._turns.carried())

    def _is_closed(self) -> bool:
        return self._turns.recovery.retry_status in CLOSED

    @workflow.signal
    def ask(self, wish: RetryWish) -> None:
        """Put a wish into the box."""
        self._turns.put(wish)

    @workflow.update
    async def retry_now(self, command: RetryNow) -> RetrySnapshot:
        """Charge at once, beside the schedule.

        Args:
            command: Its id is the update's id.

        Returns:
            Where the recovery stands, also after a declined charge.

        Raises:
            ApplicationError: The recovery has ended or stepped back for a newer invoice.
        """
        command_id = command.command_id
        self._turns.put(RetryWish(kind=WishKind.RETRY_NOW, command_id=command_id))
        await workflow.wait_condition(lambda: command_id in self._answered or self._is_closed())
        if command_id not in self._answered:
            raise _refused(self.view().retry_status)
        return self.view()

    @retry_now.validator
    def _may_retry(self, command: RetryNow) -> None:
        if self._is_closed() or self._turns.recovery.retry_status is RetryStatus.PAUSED:
            raise _refused(self.view().retry_status)

    @workflow.query
    def view(self) -> RetrySnapshot:
        """Return where the recovery stands, without touching history."""
        return self._turns.snapshot()


def _refused(status: RetryStatus) -> ApplicationError:
    return ApplicationError(
        f"the payment retry is {status}",
        {"retry_status": status},
        type=IllegalCommandError.code,
    )
