"""Takes the steps that a mailbox owes: with nobody waiting for them, or at a person's request."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.last_resorts import LastResortActivities
    from activities.subscription_commands import SubscriptionCommandActivities
    from activities.subscriptions import SubscriptionActivities
    from domain.billing import OwedStep, StepKind
    from workflows.canceling import StepInterruptedError, run_interruptible
    from workflows.mailbox import Mailbox
    from workflows.subscription_standing import Step, SubscriptionStanding
    from workflows.timeouts import STRIPE_CALL, STRIPE_COMMAND, ActivityOptions

STEPS: dict[StepKind, Step] = {
    StepKind.CREATE: SubscriptionActivities.create_subscription,
    StepKind.SYNC: SubscriptionActivities.refresh_subscription,
    StepKind.LAST_RESORT: LastResortActivities.carry_out_last_resort,
    StepKind.VOID_OLDER: LastResortActivities.void_invoices,
    StepKind.CANCEL_AT_STRIPE: SubscriptionCommandActivities.cancel_subscription,
    StepKind.REFUND: LastResortActivities.refund_payments,
}


class SubscriptionSteps:
    """What is owed, taken one by one."""

    def __init__(self, box: Mailbox, standing: SubscriptionStanding) -> None:
        self.is_canceled_while_created = False
        self._box = box
        self._standing = standing

    async def run_due(self) -> bool:
        """Take the first step that is due, until a command comes.

        Returns:
            Whether there was one.
        """
        step = self._standing.owed.take_due(workflow.now())
        if step is not None:
            await self._run(step, STRIPE_CALL, self._box.has_command)
        return step is not None

    async def retry_parked(self) -> None:
        """Take all steps that rest, once each, until another command comes."""
        owed = self._standing.owed
        owed.wake()
        for _ in tuple(owed):
            if self._box.has_another_command():
                return
            step = owed.take_due(workflow.now())
            if step is not None:
                await self._run(step, STRIPE_COMMAND, self._box.has_another_command)

    async def _run(
        self,
        step: OwedStep,
        options: ActivityOptions,
        is_interrupted: Callable[[], bool],
    ) -> None:
        order = self._standing.order_of(step)
        try:
            refreshed = await run_interruptible(
                STEPS[step.kind],
                order,
                options,
                order.summary,
                is_interrupted,
            )
        except StepInterruptedError:
            self._standing.owed.put_back(step)
        except ActivityError as error:
            await self._standing.park(step, error)
        else:
            await self._standing.apply(refreshed)
            if step.kind is StepKind.CANCEL_AT_STRIPE:
                # Reason: it was made after its cancel had been answered.
                again = self._standing.order(refunds_all=True)
                self._standing.owed.add(StepKind.SYNC, again)
        if step.kind is StepKind.CREATE:
            self.is_canceled_while_created = self._box.has_cancel()
