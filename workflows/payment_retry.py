"""Recover one unpaid invoice: wait, charge, wait longer, ask for a card, give up in good order."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import IllegalCommandError
    from domain.retries import CLOSED, NextStep, RetryStatus, next_step
    from domain.retry_messages import RetryNow, RetrySnapshot, RetryStart, RetryWish, WishKind
    from workflows.retry_turns import RetryTurns


@workflow.defn(name="PaymentRetryWorkflow")
class PaymentRetryWorkflow:
    """One execution per unpaid invoice; its id is `payment-retry-{stripe_invoice_id}`.

    It owns the invoice's `payment_retries` row. What others ask of it goes into a box that only
    `run` empties, so a charge in flight always comes to its end first.
    """

    @workflow.init
    def __init__(self, start: RetryStart) -> None:
        self._start = start
        self._turns = RetryTurns(start)
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
        # Reason: safe to await alone here, because every handler sees that we are closed.
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._turns.finish_mails()
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
            await self._turns.charge_on_schedule()
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
        await self._turns.finish_mails()
        wishes = self._turns.wishes
        await workflow.wait_condition(lambda: bool(wishes) or workflow.all_handlers_finished())
        if not wishes:  # no await between this and the next line
            workflow.continue_as_new(self._turns.carried())

    def _is_closed(self) -> bool:
        return self._turns.recovery.retry_status in CLOSED

    @workflow.signal
    def ask(self, wish: RetryWish) -> None:
        """Put a wish into the box; to stop goes before all others."""
        if wish.kind is WishKind.STOP:
            self._turns.wishes.appendleft(wish)
        else:
            self._turns.wishes.append(wish)

    @workflow.update
    async def retry_now(self, command: RetryNow) -> RetrySnapshot:
        """Charge at once, beside the schedule.

        Args:
            command: Its id is the update's id.

        Returns:
            Where the recovery stands after the charge, also after a declined one.

        Raises:
            ApplicationError: The recovery has ended or stepped back for a newer invoice.
        """
        self._turns.wishes.append(
            RetryWish(kind=WishKind.RETRY_NOW, command_id=command.command_id),
        )
        await workflow.wait_condition(
            lambda: command.command_id in self._answered or self._is_closed(),
        )
        if command.command_id not in self._answered:
            raise self._refused()
        return self.view()

    @retry_now.validator
    def _may_retry(self, command: RetryNow) -> None:
        if self._is_closed() or self._turns.recovery.retry_status is RetryStatus.PAUSED:
            raise self._refused()

    def _refused(self) -> ApplicationError:
        status = self._turns.recovery.retry_status
        return ApplicationError(
            f"the payment retry is {status}",
            {"retry_status": status},
            type=IllegalCommandError.code,
        )

    @workflow.query
    def view(self) -> RetrySnapshot:
        """Return where the recovery stands, without touching history."""
        return self._turns.snapshot()
