"""The workflow of one payment: it charges, authenticates, cancels and refunds.

A command starts an ended workflow again: refunds come months later, also for payments of
invoices, which had no workflow before.
"""

import asyncio
from contextlib import suppress
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import ConflictError
    from domain.payments.messages import (
        CancelPayment,
        PaymentAnswer,
        PaymentCommand,
        PaymentStart,
        PaymentState,
        RefundInput,
        RefundResult,
    )
    from domain.payments.rules import PaymentCommandKind
    from domain.workflow_names import (
        CANCEL_UPDATE,
        PAYMENT_HINT,
        PAYMENT_WORKFLOW,
        REFUND_UPDATE,
        RETRY_PARKED_UPDATE,
    )
    from workflows.mailbox import Mailbox
    from workflows.payments.handlers import PaymentHandlers

Answer = TypeVar("Answer")


@workflow.defn(name=PAYMENT_WORKFLOW)
class PaymentWorkflow:
    """The workflow of one payment, `payment-{payment_id}`; runs while it is open or owes a step."""

    @workflow.init
    def __init__(self, start: PaymentStart) -> None:
        self._start = start
        self._mailbox: Mailbox[PaymentCommand, PaymentAnswer] = Mailbox()
        self._handlers = PaymentHandlers(start, self._mailbox)

    @workflow.run
    async def run(self, start: PaymentStart) -> PaymentState | None:
        """Charge the payment if requested, then handle the mailbox until nothing is left to do.

        Args:
            start: The payment, with its request if it is to be charged.

        Returns:
            The payment's state; None if there is no such payment.
        """
        try:
            await self._handlers.open()
            while not (self._handlers.is_over() and await self._mailbox.is_quiet()):
                await self._handle_next()
        except asyncio.CancelledError:
            while not await self._mailbox.is_quiet():  # every waiting caller gets an answer
                await self._handlers.handle_next()
            raise
        return self._handlers.steps.state

    async def _handle_next(self) -> None:
        if await self._handlers.handle_next():
            return
        if workflow.info().get_current_history_length() >= self._start.continue_as_new_after:
            await self._continue_as_new()
        else:
            await self._sleep()

    async def _sleep(self) -> None:
        due_at, has_mail = self._handlers.steps.next_at(), self._mailbox.has_mail
        time_left = None if due_at is None else due_at - workflow.now()
        with suppress(TimeoutError):
            await workflow.wait_condition(
                has_mail, timeout=time_left, timeout_summary="time to pay"
            )

    async def _continue_as_new(self) -> None:
        is_owing = self._handlers.steps.is_owing()
        if await self._mailbox.is_quiet():  # no await between this and the next line
            request = self._start.request if is_owing else None
            carried_over = {"request": request, "expires_at": self._handlers.steps.expires_at}
            workflow.continue_as_new(self._start.model_copy(update=carried_over))

    @workflow.update(name=REFUND_UPDATE)
    async def refund(self, refund_input: RefundInput) -> RefundResult:
        """Refund the payment, once per refund id.

        Args:
            refund_input: The refund; its refund id is the update's id.

        Returns:
            The refund, made now or before.

        Raises:
            ApplicationError: The refund was refused; the error's type is the error code.
        """
        command = PaymentCommand(refund_input.refund_id, PaymentCommandKind.REFUND, refund_input)
        return _expect((await self._ask_mailbox(command)).refund)

    @workflow.update(name=CANCEL_UPDATE)
    async def cancel(self, command: CancelPayment) -> PaymentState:
        """Cancel the payment before it succeeds.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The payment's current state.

        Raises:
            ApplicationError: The cancellation was refused; the error's type is the error code.
        """
        return await self._execute(PaymentCommandKind.CANCEL, command)

    @workflow.update(name=RETRY_PARKED_UPDATE)
    async def retry_parked(self, command: CancelPayment) -> PaymentState:
        """Retry a parked step at once.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The payment's state after the retry.

        Raises:
            ApplicationError: There is no such payment; the error's type is the error code.
        """
        return await self._execute(PaymentCommandKind.RETRY_PARKED, command)

    async def _execute(self, kind: PaymentCommandKind, command: CancelPayment) -> PaymentState:
        return _expect((await self._ask_mailbox(PaymentCommand(command.command_id, kind))).state)

    async def _ask_mailbox(self, command: PaymentCommand) -> PaymentAnswer:
        """Put a command into the mailbox and wait for its answer.

        Raises:
            ApplicationError: The command was refused; the error's type is the error code.
        """
        answer = await self._mailbox.ask(command)
        if answer.error_code is not None:
            raise ApplicationError(
                answer.message or "refused",
                answer.details,
                type=answer.error_code,
            )
        return answer

    @workflow.signal(name=PAYMENT_HINT)
    def hint(self, event_ids: list[str]) -> None:
        """Add hints: the payment has to be read at Stripe."""
        self._mailbox.hint(event_ids)

    @workflow.query
    def view(self) -> PaymentState | None:
        """Return the payment's state without adding to the history; None before the first step."""
        return self._handlers.steps.state

    def log_fields(self) -> dict[str, object]:
        """Return fields for the log lines of the payment's start and end."""
        payment = self._handlers.steps.state or self._start.request
        if payment is None:
            return {}
        return {
            "user_id": str(payment.user_id),
            "amount_cents": payment.amount_cents,
            "currency_code": payment.currency_code,
            "reason": payment.decline_code if isinstance(payment, PaymentState) else None,
        }


def _expect(answer: Answer | None) -> Answer:
    if answer is None:
        raise ApplicationError("this id belongs to another command", type=ConflictError.code)
    return answer
