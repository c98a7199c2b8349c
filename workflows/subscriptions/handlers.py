"""Handles the commands, reports and hints of `SubscriptionWorkflow`."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.subscriptions import SubscriptionRowActivities
    from domain.subscriptions.messages import SubscriptionCommand
    from domain.subscriptions.state import CommandAnswer, SubscriptionStart
    from domain.subscriptions.steps import (
        CreateInput,
        OpenInput,
    )
    from workflows.mailbox import Mailbox
    from workflows.records import execute_record
    from workflows.subscriptions.command_execution import CommandExecution
    from workflows.subscriptions.state import SubscriptionAggregate
    from workflows.subscriptions.steps import SubscriptionSteps


class SubscriptionHandlers:
    """Handles one thing at a time: commands first, then reports, hints and owed steps."""

    def __init__(
        self,
        start: SubscriptionStart,
        mailbox: Mailbox[SubscriptionCommand, CommandAnswer],
        aggregate: SubscriptionAggregate,
    ) -> None:
        self._start = start
        self._mailbox = mailbox
        self._aggregate = aggregate
        self._steps = SubscriptionSteps(mailbox, aggregate)
        self._execution = CommandExecution(mailbox, aggregate, self._steps)

    async def open(self) -> None:
        """Write or find the row, and owe the subscription's creation unless it exists at Stripe."""
        if self._aggregate.state is not None:
            return
        request, subscription_id = self._start.request, self._start.subscription_id
        row = await execute_record(
            SubscriptionRowActivities.open_subscription,
            OpenInput(
                subscription_id=subscription_id,
                request=request,
                adoption=self._start.adoption,
            ),
            "write the row",
            is_local=self._start.revision > 1,
        )
        self._aggregate.load(row)
        is_new = row is not None and row.stripe_subscription_id is None
        if is_new and request is not None and not self._aggregate.is_over():
            self._aggregate.owed.add(CreateInput(**self._aggregate.facts(), request=request))
        if row is not None and self._start.adoption is not None:
            self._aggregate.owed.add(self._aggregate.sync())

    async def handle_next(self) -> bool:
        """Take one thing out of the mailbox, or run a due step.

        Returns:
            Whether there was anything to do.
        """
        aggregate = self._aggregate
        if self._mailbox.commands:
            answer = await self._execution.execute(self._mailbox.commands[0])
            if answer is None:
                self._mailbox.requeue_first()
            else:
                self._mailbox.answer(answer)
        elif aggregate.reports.unread:
            self._steps.on_report(aggregate.reports.unread.popleft())
        elif self._mailbox.hint_ids:
            self._steps.on_hints(self._mailbox.take_hints())
        elif (due := aggregate.timers.take_due(aggregate.state)) is not None:
            self._steps.on_timer(*due)
        else:
            return await self._steps.run_due()
        return True
