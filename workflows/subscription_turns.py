"""The turns of one subscription: what `SubscriptionWorkflow` does with what it takes out."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.subscription_commands import SubscriptionCommandActivities as Commands
    from activities.subscriptions import SubscriptionActivities
    from domain.billing import (
        CommandAnswer,
        EventNote,
        Refreshed,
        SubscriptionCommand,
        SubscriptionOrder,
        SubscriptionStart,
        SubscriptionState,
    )
    from domain.errors import IllegalCommandError
    from domain.notes import note_of_command, note_of_grace_end, notes_of_report
    from domain.retries import OlderInvoices, RetryStatus
    from domain.retry_messages import RetryReport
    from domain.subscriptions import FINAL, CommandKind, Effect, decide
    from workflows.mailbox import Mailbox
    from workflows.recoveries import Recoveries
    from workflows.search_attributes import STATUS
    from workflows.timeouts import RECORD, STRIPE_CALL

Step = Callable[[Any, SubscriptionOrder], Coroutine[Any, Any, Refreshed]]


class SubscriptionTurns:
    """State of one subscription, and the steps that change it; one at a time."""

    def __init__(self, start: SubscriptionStart, box: Mailbox) -> None:
        self.state = start.state
        self._start = start
        self._box = box
        self._recoveries = Recoveries(start.state.recoveries if start.state else {})
        self._grace_told: datetime | None = None

    async def open(self) -> None:
        """Write the row, then create the subscription at Stripe, unless that was done before."""
        if self.state is not None:
            return
        self.state = await workflow.execute_activity_method(
            SubscriptionActivities.open_subscription,
            self._order(request=self._start.request),
            **RECORD,
            summary="write the row",
        )
        if self.state is None:
            return
        self._recoveries = Recoveries(self.state.recoveries)
        is_new = self.state.stripe_subscription_id is None and not self.is_over()
        if self._start.request is not None and is_new:
            order = self._order(request=self._start.request)
            await self._advance(SubscriptionActivities.create_subscription, order)

    async def obey(self, command: SubscriptionCommand) -> CommandAnswer:
        """Carry a command out, or say why not: now, when its turn has come."""
        if (refusal := self.refusal(command)) is not None:
            return refusal
        step: Step = Commands.change_payment_method
        if command.kind is CommandKind.CANCEL_NOW:
            await self._recoveries.stop(self._box.closed_invoice_ids)
            step = Commands.cancel_subscription
        order = self._order(command=command, notes=(note_of_command(command),))
        try:
            await self._follow(await _do(step, order))
        except ActivityError as error:
            return _answer_of(error)
        if command.stripe_payment_method_id is not None:
            await self._recoveries.offer_card(command.stripe_payment_method_id)
        return CommandAnswer(state=self.state)

    async def hear(self, report: RetryReport) -> None:
        """Take in what a recovery tells, and do what it asks."""
        self._recoveries.hear(report)
        order = self._order(notes=notes_of_report(report), last_resort=report.last_resort)
        if report.last_resort is not None and not self.is_over():
            await self._advance(Commands.carry_out_last_resort, order)
        else:
            await self._advance(SubscriptionActivities.refresh_subscription, order)
        if report.retry_status is not RetryStatus.RECOVERED or not self._recoveries.open:
            return
        if report.older_invoices is OlderInvoices.VOID:
            order = self._order(void_stripe_invoice_ids=tuple(self._recoveries.open))
            await self._advance(Commands.void_invoices, order)
        else:
            await self._recoveries.go_on()

    async def look(self, hint_ids: tuple[str, ...]) -> None:
        """Look at Stripe once, however many hints there were."""
        if self.state is not None:
            order = self._order(hint_ids=hint_ids)
            await self._advance(SubscriptionActivities.refresh_subscription, order)

    async def tell_grace_is_over(self) -> None:
        """Record that access has ended."""
        self._grace_told = self._grace_ends_at()
        note = note_of_grace_end(self._grace_told or workflow.now())
        await self._advance(SubscriptionActivities.refresh_subscription, self._order(notes=(note,)))

    def is_over(self) -> bool:
        """Whether nothing can happen to this subscription any more."""
        return self.state is None or self.state.subscription_status in FINAL

    def is_grace_over(self) -> bool:
        """Whether grace has ended and nobody has told yet."""
        due_at = self.next_due_at()
        return due_at is not None and due_at <= workflow.now()

    def next_due_at(self) -> datetime | None:
        """Return when something has to be done by itself; None if somebody must ask first."""
        ends_at = self._grace_ends_at()
        return None if ends_at == self._grace_told else ends_at

    def refusal(self, command: SubscriptionCommand) -> CommandAnswer | None:
        """Return why a command does not fit; None if it does."""
        if self.state is None:
            return None  # before the first step nobody knows; the turn decides
        decision = decide(self.state.subscription_status, command.kind)
        if decision.refusal is None:
            return None
        return CommandAnswer(
            error_code=IllegalCommandError.code,
            message=decision.refusal,
            details={"subscription_status": self.state.subscription_status},
        )

    def carried(self) -> SubscriptionState | None:
        """Return what the next run needs of this one."""
        open_ones = {"recoveries": self._recoveries.open}
        return self.state.model_copy(update=open_ones) if self.state else None

    async def _advance(self, step: Step, order: SubscriptionOrder) -> None:
        try:
            await self._follow(await _do(step, order))
        except ActivityError as error:
            await self._park(error, order.notes)

    async def _follow(self, refreshed: Refreshed) -> None:
        before, self.state = self.state, refreshed.state
        if Effect.STOP_RECOVERIES in refreshed.effects:
            await self._recoveries.stop(self._box.closed_invoice_ids)
        elif Effect.RECOVER in refreshed.effects:
            await self._recoveries.start(refreshed)
        await self._recoveries.look(refreshed.unpaid_stripe_invoice_ids)
        status = self.state.subscription_status
        if before is None or before.subscription_status is not status:
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        workflow.set_current_details(_told(self.state))

    async def _park(self, error: ActivityError, notes: tuple[EventNote, ...]) -> None:
        # Reason: an error that no retry mends needs a person; ending the workflow would hide it.
        self.state = await workflow.execute_activity_method(
            SubscriptionActivities.park_subscription,
            self._order(parked_reason=str(error.cause or error), notes=notes),
            **RECORD,
            summary="park",
        )
        if self.state is not None:
            workflow.set_current_details(_told(self.state))

    def _grace_ends_at(self) -> datetime | None:
        return self.state.grace_ends_at if self.state else None

    def _order(self, **what: Any) -> SubscriptionOrder:
        return SubscriptionOrder(
            subscription_id=self._start.subscription_id,
            at=workflow.now(),
            **what,
        )


async def _do(step: Step, order: SubscriptionOrder) -> Refreshed:
    return await workflow.execute_activity_method(
        step,
        order,
        **STRIPE_CALL,
        summary=order.summary,
    )


def _answer_of(error: ActivityError) -> CommandAnswer:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return CommandAnswer(error_code="command_failed", message=str(cause or error))
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return CommandAnswer(
        error_code=cause.type or "command_failed",
        message=cause.message,
        details=details,
    )


def _told(state: SubscriptionState) -> str:
    told = f"**{state.subscription_status}**"
    if state.stripe_subscription_id:
        told += f" as `{state.stripe_subscription_id}`."
    if state.grace_ends_at:
        told += f" Grace ends at {state.grace_ends_at:%Y-%m-%d %H:%M} UTC."
    for stripe_invoice_id, status in state.recoveries.items():
        told += f" Recovery of `{stripe_invoice_id}`: {status}."
    if state.parked_reason:
        told += f" **Needs a person:** {state.parked_reason}"
    return told
