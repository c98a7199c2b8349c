"""The state of a subscription's workflow, and how the results of activities change it."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.subscriptions import SubscriptionRowActivities
    from domain.payment_retries.policy import OlderInvoices
    from domain.subscriptions.events import parked_event
    from domain.subscriptions.lifecycle import FINAL, Effect
    from domain.subscriptions.messages import NewSubscriptionEvent
    from domain.subscriptions.state import (
        SubscriptionStart,
        SubscriptionState,
        SyncResult,
        Timer,
    )
    from domain.subscriptions.steps import (
        AnyStepInput,
        CancelInput,
        OwedStep,
        ParkInput,
        RefundPaymentsInput,
        SyncInput,
        VoidAllInput,
        VoidInput,
    )
    from workflows.activity_options import RECORD
    from workflows.owed_steps import OwedSteps
    from workflows.search_attributes import STATUS
    from workflows.subscriptions.payment_retries import PaymentRetries, RetryReports
    from workflows.subscriptions.timers import Timers

Step = Callable[[Any, Any], Coroutine[Any, Any, SyncResult]]


class SubscriptionAggregate:
    """The subscription's state, its payment retries and its owed steps."""

    def __init__(self, start: SubscriptionStart, reports: RetryReports) -> None:
        self.state: SubscriptionState | None = None
        self.payment_retries = PaymentRetries({})
        # Whether the first sync of an import is still to come.
        self.is_importing = start.adoption is not None and start.adoption.is_imported
        self.owed = OwedSteps()
        self.timers = Timers(_handled_timers(start))
        self.subscription_id = start.subscription_id
        self.reports = reports
        if start.state is not None:
            self.load(start.state)

    def load(self, state: SubscriptionState | None) -> None:
        """Load the state from the row or from the previous run."""
        self.state = state
        self.payment_retries = PaymentRetries(
            state.payment_retries if state else {},
            state.imported_stripe_invoice_ids if state else (),
        )
        self.owed = OwedSteps(state.owed if state else ())

    def facts(self) -> dict[str, Any]:
        """Return the fields that all activity inputs have, with the workflow's time."""
        return {
            "subscription_id": self.subscription_id,
            "at": workflow.now(),
            "parked": self.owed.parked(),
        }

    def sync(self, **reasons: Any) -> SyncInput:
        """Return the input of a sync step."""
        return SyncInput(**self.facts(), **reasons)

    def input_of(self, step: OwedStep) -> AnyStepInput:
        """Return the input of an owed step, with the workflow's time."""
        changes = {**self.facts(), "is_repeated": step.try_count > 0}
        return step.input.model_copy(update=changes)

    async def apply(self, result: SyncResult) -> None:
        """Apply the result of a step: set the state, and owe the steps that follow."""
        before, self.state = self.state, result.state
        if self.state.subscription_status in FINAL:
            self.owed.drop_steps_of_living()
            await self.payment_retries.stop(self.reports.closed_invoice_ids)
        else:
            await self._follow_owed_invoices(result)
        if Effect.CANCEL_AT_STRIPE in result.effects:
            self.owed.add(CancelInput(**self.facts()))
        late_ids = result.late_stripe_invoice_ids
        if late_ids:
            self.owed.add(self.sync(late_stripe_invoice_ids=late_ids))
        if result.has_open_invoices:
            self.owed.add(VoidAllInput(**self.facts(), late_stripe_invoice_ids=late_ids))
        if result.refund_payment_ids:
            payment_ids = result.refund_payment_ids
            self.owed.add(RefundPaymentsInput(**self.facts(), payment_ids=payment_ids))
        status = self.state.subscription_status
        if before is None or before.subscription_status is not status:
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        self._show()

    async def park(self, step: OwedStep, error: ActivityError) -> None:
        """Park a failed step: owe it, and show it in the row."""
        is_new = step.parked is None
        parked = self.owed.park(step, error, workflow.now())
        events: tuple[NewSubscriptionEvent, ...] = (
            (parked_event(parked, workflow.now()),) if is_new else ()
        )
        self.state = await workflow.execute_activity_method(
            SubscriptionRowActivities.park_subscription,
            ParkInput(
                subscription_id=self.subscription_id,
                parked=self.owed.parked(),
                events=events,
            ),
            **RECORD,
            summary=f"park {step.kind}",
        )
        workflow.logger.error("step_parked", extra={"step": step.kind, "code": parked.code})
        self._show()

    def is_over(self) -> bool:
        """Return whether the subscription has ended and no step is owed."""
        if self.state is None:
            return True
        return self.state.subscription_status in FINAL and not any(self.owed)

    def next_due_at(self) -> datetime | None:
        """Return when the next step is due; None if only a command can cause more work."""
        times = [self.timers.next_at(self.state), self.owed.next_try_at()]
        return min((at for at in times if at is not None), default=None)

    def to_start_input(self) -> SubscriptionState | None:
        """Return the state that the next run of the workflow starts with."""
        if self.state is None:
            return None
        changes = {
            "payment_retries": self.payment_retries.open,
            "imported_stripe_invoice_ids": tuple(sorted(self.payment_retries.imported)),
            "owed": tuple(self.owed),
        }
        return self.state.model_copy(update=changes)

    async def _follow_owed_invoices(self, result: SyncResult) -> None:
        if self.is_importing:
            self.payment_retries.imported.update(result.owed_stripe_invoice_ids)
            self.is_importing = False
        imported = self.payment_retries.imported
        owed = tuple(each for each in result.owed_stripe_invoice_ids if each not in imported)
        is_void = result.policy.policy.older_invoices is OlderInvoices.VOID
        if owed and is_void and result.has_newer_settled:
            self.owed.add(VoidInput(**self.facts(), stripe_invoice_ids=owed))
        await self.payment_retries.align(result, self.owed.given_up_invoice_ids())

    def _show(self) -> None:
        workflow.set_current_details(_render(self.to_start_input()))


def _handled_timers(start: SubscriptionStart) -> dict[Timer, datetime]:
    ended_at = start.announced_grace_end
    return ({Timer.GRACE_END: ended_at} if ended_at is not None else {}) | start.handled_timers


def _render(state: SubscriptionState | None) -> str:
    if state is None:
        return ""
    text = f"**{state.subscription_status}**"
    if state.stripe_subscription_id:
        text += f" as `{state.stripe_subscription_id}`."
    if state.grace_ends_at:
        text += f" Grace ends at {state.grace_ends_at:%Y-%m-%d %H:%M} UTC."
    if state.resume_at:
        text += f" Paused until {state.resume_at:%Y-%m-%d %H:%M} UTC."
    for stripe_invoice_id, status in state.payment_retries.items():
        text += f" Payment retry of `{stripe_invoice_id}`: {status}."
    for step in state.owed:
        if step.parked is not None:
            text += f" **Parked:** {step.kind}: {step.parked.message}."
    return text
