"""The owed steps of a payment: charge, sync, cancel an expired payment, refund a late charge."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.payments.payments import (
        PaymentActivities,
        PaymentCancelActivities,
        PaymentRowActivities,
    )
    from activities.payments.refunds import RefundActivities
    from domain.errors import IllegalCommandError
    from domain.ids import late_refund_id
    from domain.parked_steps import ParkedStep, pause_after
    from domain.payments.messages import (
        CancelPaymentInput,
        ParkPaymentInput,
        PayInput,
        PaymentAnswer,
        PaymentCommand,
        PaymentStart,
        PaymentState,
        RefreshPaymentInput,
        RefundInput,
        RefundOutcome,
    )
    from domain.payments.money import amount_text
    from domain.payments.rules import ACTION_PERIOD, OPEN
    from workflows.activity_options import RECORD, STRIPE_CALL, STRIPE_COMMAND, ActivityOptions
    from workflows.cancellation import StepInterruptedError, run_interruptible
    from workflows.failures import failure_of
    from workflows.mailbox import Mailbox
    from workflows.owed_steps import parked_step
    from workflows.search_attributes import STATUS

PAID_TOO_LATE = "paid after it had been canceled"


class PaymentStep(StrEnum):
    """The steps that a payment's workflow runs by itself, in this order."""

    PAY = "pay"
    SYNC = "sync"
    EXPIRE = "expire"
    REFUND = "refund"


class PaymentSteps:
    """The payment's state and its owed steps."""

    def __init__(
        self, start: PaymentStart, mailbox: Mailbox[PaymentCommand, PaymentAnswer]
    ) -> None:
        self.state: PaymentState | None = None
        self.expires_at: datetime | None = start.expires_at
        self.is_canceled_while_paid = False
        self._start = start
        self._mailbox = mailbox
        self._owed: dict[PaymentStep, int] = {}
        self._rests_until: datetime | None = None
        self._parked: ParkedStep | None = None

    def owe(self, step: PaymentStep) -> None:
        """Owe a step, once; a parked step becomes due."""
        self._owed.setdefault(step, 0)
        self._rests_until = None

    def drop(self, step: PaymentStep) -> None:
        """Drop an owed step, also if it is parked."""
        self._owed.pop(step, None)
        if self._parked is not None and self._parked.step == step:
            self._parked, self._rests_until = None, None

    def is_owing(self) -> bool:
        """Return whether a step is owed."""
        return bool(self._owed)

    def is_open(self) -> bool:
        """Return whether the payment is not final yet."""
        return self.state is not None and self.state.payment_status in OPEN

    def next_at(self) -> datetime | None:
        """Return when the next step is due; None if only a command can cause more work."""
        if self._owed:
            return self._rests_until or workflow.now()
        return self.expires_at if self.is_open() else None

    async def run_due(self) -> None:
        """Run the first owed step; a command interrupts it."""
        await self._run(STRIPE_CALL, self._mailbox.has_command)

    async def retry_parked(self) -> None:
        """Retry the parked step at once."""
        self._rests_until = None
        if self._owed:
            await self._run(STRIPE_COMMAND, self._mailbox.has_another_command)

    def apply(self, state: PaymentState) -> None:
        """Set the payment's new state, and show it in the Web UI."""
        self.state = state
        if self.is_open() and self.expires_at is None:
            self.expires_at = workflow.now() + ACTION_PERIOD
        if state.is_paid_in_spite_of_cancel:
            self.owe(PaymentStep.REFUND)
        workflow.upsert_search_attributes([STATUS.value_set(state.payment_status)])
        workflow.set_current_details(_render(state, self._parked))

    async def _run(self, options: ActivityOptions, is_interrupted: Callable[[], bool]) -> None:
        step = next(iter(self._owed))
        is_repeated = self._owed[step] > 0
        try:
            state = await run_interruptible(
                *self._activity_call(step, is_repeated),
                options,
                step.value,
                is_interrupted,
            )
        except StepInterruptedError:
            self._owed[step] += 1
        except ActivityError as error:
            if step is PaymentStep.REFUND and _is_refunded(error):
                self.drop(step)
            else:
                await self._park(step, error)
        else:
            self.drop(step)
            self._rests_until, self._parked = None, None
            self.apply(state.state if isinstance(state, RefundOutcome) else state)
        if step is PaymentStep.PAY:
            self.is_canceled_while_paid = self._mailbox.has_cancel()

    def _activity_call(
        self,
        step: PaymentStep,
        is_repeated: bool,
    ) -> tuple[Callable[[Any, Any], Coroutine[Any, Any, Any]], Any]:
        payment_id, request = self._start.payment_id, self._start.request
        if step is PaymentStep.PAY and request is not None:
            pay = PayInput(payment_id=payment_id, request=request, is_repeated=is_repeated)
            return PaymentActivities.pay, pay
        if step is PaymentStep.EXPIRE:
            expired = CancelPaymentInput(payment_id=payment_id, at=workflow.now())
            return PaymentCancelActivities.cancel_payment, expired
        if step is PaymentStep.REFUND:
            refund_id = late_refund_id(payment_id)
            refund = RefundInput(payment_id=payment_id, refund_id=refund_id, reason=PAID_TOO_LATE)
            return RefundActivities.refund_payment, refund
        return PaymentActivities.refresh_payment, RefreshPaymentInput(payment_id=payment_id)

    async def _park(self, step: PaymentStep, error: ActivityError) -> None:
        now, earlier = workflow.now(), self._parked
        self._owed[step] += 1
        self._rests_until = now + pause_after(self._owed[step])
        since = earlier.since if earlier is not None and earlier.step == step else now
        self._parked = parked_step(step, error, since)
        workflow.logger.error("step_parked", extra={"step": step, "code": self._parked.code})
        state = await workflow.execute_activity_method(
            PaymentRowActivities.park_payment,
            ParkPaymentInput(payment_id=self._start.payment_id, parked=(self._parked,)),
            **RECORD,
            summary=f"park {step}",
        )
        self.apply(state)


def _is_refunded(error: ActivityError) -> bool:
    """Return whether nothing is left to refund, or the payment's status allows no refund."""
    return failure_of(error).code in {IllegalCommandError.code, "refund_exceeds_payment"}


def _render(state: PaymentState, parked: ParkedStep | None) -> str:
    amount = amount_text(state.amount_cents, state.currency_code)
    text = f"**{state.payment_status}**: {amount} of user `{state.user_id}`"
    if state.stripe_payment_intent_id:
        text += f" as `{state.stripe_payment_intent_id}`"
    if state.refunded_cents:
        text += f", {amount_text(state.refunded_cents, state.currency_code)} of it refunded"
    if state.decline_code:
        text += f"; declined: {state.decline_code}"
    if parked is not None:
        text += f"; **parked:** {parked.step}: {parked.message}"
    return f"{text}."
