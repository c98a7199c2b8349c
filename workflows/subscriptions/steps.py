"""Owes and runs the steps of a subscription: by itself, or at a person's request."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.commands import SubscriptionCommandActivities
    from activities.subscriptions.last_resort import LastResortActivities
    from activities.subscriptions.pauses import PauseActivities
    from activities.subscriptions.subscriptions import SubscriptionActivities
    from activities.subscriptions.unused_time import UnusedTimeActivities
    from domain.payment_retries.messages import RetryReport
    from domain.subscriptions.events import grace_end_event, report_events
    from domain.subscriptions.state import Timer
    from domain.subscriptions.steps import LastResortInput, OwedStep, ResumeInput, StepKind
    from workflows.activity_options import STRIPE_CALL, STRIPE_COMMAND, ActivityOptions
    from workflows.cancellation import StepInterruptedError, run_interruptible
    from workflows.mailbox import Mailbox
    from workflows.subscriptions.state import Step, SubscriptionAggregate

STEPS: dict[StepKind, Step] = {
    StepKind.CREATE: SubscriptionActivities.create_subscription,
    StepKind.SYNC: SubscriptionActivities.refresh_subscription,
    StepKind.LAST_RESORT: LastResortActivities.execute_last_resort,
    StepKind.VOID_OLDER: LastResortActivities.void_invoices,
    StepKind.VOID_ALL: LastResortActivities.void_all_invoices,
    StepKind.CANCEL_AT_STRIPE: SubscriptionCommandActivities.cancel_subscription,
    StepKind.REFUND: LastResortActivities.refund_payments,
    StepKind.REFUND_UNUSED: UnusedTimeActivities.refund_unused_time,
    StepKind.RESUME: PauseActivities.resume_subscription,
}


class SubscriptionSteps:
    """Owes steps for reports and hints, and runs the owed steps one by one."""

    def __init__(self, mailbox: Mailbox[Any, Any], aggregate: SubscriptionAggregate) -> None:
        self.is_canceled_while_created = False
        self._mailbox = mailbox
        self._aggregate = aggregate

    async def run_due(self) -> bool:
        """Run the first due step; a command interrupts it.

        Returns:
            Whether a step was due.
        """
        step = self._aggregate.owed.take_due(workflow.now())
        if step is not None:
            await self._run(step, STRIPE_CALL, self._mailbox.has_command)
        return step is not None

    async def retry_parked(self) -> None:
        """Retry all parked steps, once each, until another command comes."""
        owed = self._aggregate.owed
        owed.wake()
        for _ in tuple(owed):
            if self._mailbox.has_another_command():
                return
            step = owed.take_due(workflow.now())
            if step is not None:
                await self._run(step, STRIPE_COMMAND, self._mailbox.has_another_command)

    def on_report(self, report: RetryReport) -> None:
        """Handle a report of a payment retry, and owe its last resort or a sync."""
        aggregate = self._aggregate
        aggregate.payment_retries.on_report(report)
        events = report_events(report)
        if report.last_resort is not None:
            last_resort = LastResortInput(
                **aggregate.facts(),
                events=events,
                request=report.last_resort,
            )
            aggregate.owed.add(last_resort)
        elif events or not aggregate.is_over():
            aggregate.owed.add(aggregate.sync(events=events))

    def on_hints(self, hint_ids: tuple[str, ...]) -> None:
        """Owe one sync for all hints; without a subscription's row the hints are dropped."""
        if self._aggregate.state is not None:
            self._aggregate.owed.add(self._aggregate.sync(hint_ids=hint_ids))

    def on_timer(self, timer: Timer, about: datetime) -> None:
        """Owe what is due: the record that access has ended, a notice, or the end of a pause."""
        aggregate = self._aggregate
        match timer:
            case Timer.GRACE_END:
                aggregate.owed.add(aggregate.sync(events=(grace_end_event(about),)))
            case Timer.TRIAL_NOTICE:
                aggregate.owed.add(aggregate.sync(announced_trial_end=about))
            case Timer.RESUME:
                cause = f"at-{about.isoformat()}"
                resume = ResumeInput(**aggregate.facts(), cause=cause, is_scheduled=True)
                aggregate.owed.add(resume)

    async def _run(
        self,
        step: OwedStep,
        options: ActivityOptions,
        is_interrupted: Callable[[], bool],
    ) -> None:
        step_input = self._aggregate.input_of(step)
        try:
            result = await run_interruptible(
                STEPS[step.kind],
                step_input,
                options,
                step_input.summary,
                is_interrupted,
            )
        except StepInterruptedError:
            self._aggregate.owed.put_back(step)
        except ActivityError as error:
            await self._aggregate.park(step, error)
        else:
            await self._aggregate.apply(result)
            if step.kind is StepKind.CANCEL_AT_STRIPE:
                # Reason: the subscription was created after its cancellation was answered.
                self._aggregate.owed.add(self._aggregate.sync(refunds_all=True))
        if step.kind is StepKind.CREATE:
            self.is_canceled_while_created = self._mailbox.has_cancel()
