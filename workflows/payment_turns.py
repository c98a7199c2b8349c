"""The turns of one payment: what `PaymentWorkflow` does with what it takes out of its box."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.payments import (
        PaymentActivities,
        PaymentCancelActivities,
        PaymentRowActivities,
    )
    from activities.refunds import RefundActivities
    from domain.errors import IllegalCommandError, NotFoundError
    from domain.payments import (
        ACTION_PERIOD,
        OPEN,
        PaymentAnswer,
        PaymentCommandKind,
        PaymentOrder,
        PaymentStart,
        PaymentState,
        PaymentStatus,
        RefundOrder,
        refusal,
    )
    from workflows.payment_box import PaymentCommand
    from workflows.search_attributes import STATUS, USER_ID
    from workflows.timeouts import RECORD, STRIPE_CALL, ActivityOptions

Order = TypeVar("Order")
Result = TypeVar("Result")

SUMMARY_LIMIT = 200


class PaymentTurns:
    """One thing after the other: pay, commands, hints, the end of the customer's time."""

    def __init__(self, start: PaymentStart) -> None:
        self.state: PaymentState | None = None
        self.expires_at: datetime | None = start.expires_at
        self._start = start

    def is_open(self) -> bool:
        """Whether the payment still waits for its end."""
        return self.state is not None and self.state.payment_status in OPEN

    async def open(self) -> None:
        """Write the row, or find it, and charge what was not charged yet."""
        order, open_row = self._order(request=self._start.request), "write the row"
        state = await _done(PaymentRowActivities.open_payment, order, RECORD, open_row)
        if state is None:
            return
        workflow.upsert_search_attributes([USER_ID.value_set(str(state.user_id))])
        if order.request is not None and state.payment_status is PaymentStatus.PENDING:
            charge = f"charge {state.amount_cents} {state.currency_code}"
            state = await _done(PaymentActivities.pay, order, STRIPE_CALL, charge)
        self._show(state)

    async def obey(self, command: PaymentCommand) -> PaymentAnswer:
        """Carry a command out, or say why not: now, when its turn has come."""
        if self.state is None:
            return PaymentAnswer(
                error_code=NotFoundError.code,
                message="there is no such payment",
            )
        try:
            if command.refund is not None:
                return await self._refund(command.refund)
            return await self._cancel(self.state, command.command_id)
        except ActivityError as error:
            return _answer_of(error)

    async def look(self) -> None:
        """Look at Stripe once, however many hints there were."""
        if self.state is not None:
            await self._try(PaymentActivities.look_at_payment, self._order(), "look at Stripe")

    async def expire(self) -> None:
        """Call off what the customer did not authenticate in time."""
        self.expires_at = workflow.now() + ACTION_PERIOD  # for the next try, should this one fail
        await self._try(PaymentCancelActivities.cancel_payment, self._order(), "the time is up")

    async def _refund(self, order: RefundOrder) -> PaymentAnswer:
        # Reason: the activity decides, under the row's lock; an earlier run may have made it.
        summary = f"refund {order.amount_cents or 'all that is left'}: {order.reason}"
        step = RefundActivities.refund_payment
        made = await _done(step, order, STRIPE_CALL, summary[:SUMMARY_LIMIT])
        self._show(made.state)
        return PaymentAnswer(refund=made.refund, state=made.state)

    async def _cancel(self, state: PaymentState, command_id: UUID) -> PaymentAnswer:
        if refusal(state.payment_status, PaymentCommandKind.CANCEL) is None:
            order = self._order(command_id=command_id)
            state = await _done(
                PaymentCancelActivities.cancel_payment, order, STRIPE_CALL, "cancel"
            )
            self._show(state)
            if state.payment_status is PaymentStatus.CANCELED:
                return PaymentAnswer(state=state)
        return PaymentAnswer(
            error_code=IllegalCommandError.code,
            message=f"the payment is {state.payment_status}",
            details={"payment_status": state.payment_status},
        )

    async def _try(
        self,
        step: Callable[[Any, PaymentOrder], Coroutine[Any, Any, PaymentState]],
        order: PaymentOrder,
        summary: str,
    ) -> None:
        """Take a step that nobody waits for."""
        try:
            self._show(await _done(step, order, STRIPE_CALL, summary))
        except ActivityError as error:
            # Reason: an error that no retry mends must not end what others ask of the payment.
            workflow.logger.error("step refused", extra={"cause": str(error.cause)})

    def _order(self, **what: Any) -> PaymentOrder:
        return PaymentOrder(payment_id=self._start.payment_id, **what)

    def _show(self, state: PaymentState) -> None:
        """Take up the new state, and let the Web UI tell it."""
        self.state = state
        if self.is_open() and self.expires_at is None:
            self.expires_at = workflow.now() + ACTION_PERIOD
        workflow.upsert_search_attributes([STATUS.value_set(state.payment_status)])
        workflow.set_current_details(_told(state))


async def _done(
    step: Callable[[Any, Order], Coroutine[Any, Any, Result]],
    order: Order,
    options: ActivityOptions,
    summary: str,
) -> Result:
    """Have an activity done.

    Whoever cancels the workflow must not leave a movement of money without its record: the activity
    comes to its end first.
    """
    call = workflow.execute_activity_method(step, order, **options, summary=summary)
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _told(state: PaymentState) -> str:
    told = f"**{state.payment_status}**: {state.amount_cents} {state.currency_code}"
    if state.stripe_payment_intent_id:
        told += f" as `{state.stripe_payment_intent_id}`"
    if state.refunded_cents:
        told += f", {state.refunded_cents} of it refunded"
    if state.decline_code:
        told += f"; declined: {state.decline_code}"
    return f"{told}."


def _answer_of(error: ActivityError) -> PaymentAnswer:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return PaymentAnswer(error_code="command_failed", message=str(cause or error))
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return PaymentAnswer(
        error_code=cause.type or "command_failed",
        message=cause.message,
        details=details,
    )
