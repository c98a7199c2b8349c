"""Handles the commands and hints of `PaymentWorkflow`."""

from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.payments.payments import PaymentCancelActivities, PaymentRowActivities
    from activities.payments.refunds import RefundActivities
    from domain.errors import IllegalCommandError, NotFoundError
    from domain.payments.messages import (
        CancelPaymentInput,
        OpenPaymentInput,
        PaymentAnswer,
        PaymentCommand,
        PaymentStart,
        PaymentState,
        RefundInput,
    )
    from domain.payments.money import amount_text
    from domain.payments.rules import ACTION_PERIOD, PaymentCommandKind, PaymentStatus, refusal
    from workflows.activity_options import RECORD, STRIPE_COMMAND
    from workflows.cancellation import StepInterruptedError, run_interruptible
    from workflows.failures import failure_of
    from workflows.mailbox import Mailbox
    from workflows.payments.steps import PaymentStep, PaymentSteps
    from workflows.search_attributes import USER_ID

SUMMARY_LIMIT = 200


class PaymentHandlers:
    """Handles one thing at a time: commands first, then hints, then owed steps."""

    def __init__(
        self, start: PaymentStart, mailbox: Mailbox[PaymentCommand, PaymentAnswer]
    ) -> None:
        self.steps = PaymentSteps(start, mailbox)
        self._start = start
        self._mailbox = mailbox

    async def open(self) -> None:
        """Write or find the row, and owe the charge if it was not made yet."""
        request, payment_id = self._start.request, self._start.payment_id
        state = await workflow.execute_activity_method(
            PaymentRowActivities.open_payment,
            OpenPaymentInput(payment_id=payment_id, request=request),
            **RECORD,
            summary="write the row",
        )
        if state is None:
            return
        workflow.upsert_search_attributes([USER_ID.value_set(str(state.user_id))])
        if request is not None and state.payment_status is PaymentStatus.PENDING:
            self.steps.owe(PaymentStep.PAY)
        self.steps.apply(state)

    def is_over(self) -> bool:
        """Return whether the payment is final and no step is owed."""
        return not self.steps.is_open() and not self.steps.is_owing()

    async def handle_next(self) -> bool:
        """Take one thing out of the mailbox, or run an owed step.

        Returns:
            Whether there was anything to do.
        """
        steps, due_at = self.steps, self.steps.next_at()
        if self._mailbox.commands:
            self._mailbox.answer(await self._execute(self._mailbox.commands[0]))
        elif self._mailbox.take_hints():
            if steps.state is not None:
                steps.owe(PaymentStep.SYNC)
        elif due_at is None or due_at > workflow.now():
            return False
        elif steps.is_owing():
            await steps.run_due()
        else:
            steps.expires_at = workflow.now() + ACTION_PERIOD  # the next expiry, if this fails
            steps.owe(PaymentStep.EXPIRE)
        return True

    async def _execute(self, command: PaymentCommand) -> PaymentAnswer:
        """Execute a command, or refuse it by the payment's current state."""
        state = self.steps.state
        if state is None:
            return PaymentAnswer(
                error_code=NotFoundError.code,
                message="there is no such payment",
            )
        try:
            if command.refund is not None:
                return await self._refund(command.refund)
            if command.kind is PaymentCommandKind.RETRY_PARKED:
                await self.steps.retry_parked()
                return PaymentAnswer(state=self.steps.state)
            return await self._cancel(state, command.command_id)
        except ActivityError as error:
            return _answer_of(error)
        except StepInterruptedError:
            return PaymentAnswer(error_code="busy", message="another command goes first")

    async def _refund(self, refund_input: RefundInput) -> PaymentAnswer:
        # Reason: the activity decides under the row's lock; an earlier run may have refunded.
        amount = "all that is left"
        if self.steps.state is not None and refund_input.amount_cents is not None:
            amount = amount_text(refund_input.amount_cents, self.steps.state.currency_code)
        summary = f"refund {amount}: {refund_input.reason}"
        outcome = await run_interruptible(
            RefundActivities.refund_payment,
            refund_input,
            STRIPE_COMMAND,
            summary[:SUMMARY_LIMIT],
        )
        self.steps.apply(outcome.state)
        return PaymentAnswer(refund=outcome.refund, state=outcome.state)

    async def _cancel(self, state: PaymentState, command_id: UUID) -> PaymentAnswer:
        was_charging = self.steps.is_canceled_while_paid
        is_allowed = refusal(state.payment_status, PaymentCommandKind.CANCEL) is None
        if is_allowed:
            cancel_input = CancelPaymentInput(
                payment_id=state.payment_id,
                at=workflow.now(),
                cause=str(command_id),
            )
            state = await run_interruptible(
                PaymentCancelActivities.cancel_payment, cancel_input, STRIPE_COMMAND, "cancel"
            )
            self.steps.drop(PaymentStep.PAY)
            self.steps.apply(state)
        if state.payment_status is PaymentStatus.SUCCEEDED and was_charging:
            # Reason: the payment was charged while its cancellation was waiting.
            self.steps.owe(PaymentStep.REFUND)
            await self.steps.retry_parked()
            return PaymentAnswer(state=self.steps.state)
        if is_allowed and state.payment_status is PaymentStatus.CANCELED:
            return PaymentAnswer(state=state)
        return PaymentAnswer(
            error_code=IllegalCommandError.code,
            message=f"the payment is {state.payment_status}",
            details={"payment_status": state.payment_status},
        )


def _answer_of(error: ActivityError) -> PaymentAnswer:
    failure = failure_of(error)
    return PaymentAnswer(
        error_code=failure.code or "command_failed",
        message=failure.message,
        details=failure.details,
    )
