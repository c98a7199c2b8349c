"""Handles the commands, reports and hints of `SubscriptionWorkflow`."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.subscriptions import SubscriptionRowActivities
    from domain.errors import NotFoundError
    from domain.subscriptions.events import command_event
    from domain.subscriptions.lifecycle import COMMANDS, CommandKind, Effect
    from domain.subscriptions.messages import SubscriptionCommand
    from domain.subscriptions.state import CommandAnswer, SubscriptionStart
    from domain.subscriptions.steps import (
        CreateInput,
        OpenInput,
    )
    from workflows.activity_options import STRIPE_COMMAND
    from workflows.cancellation import StepInterruptedError, run_interruptible
    from workflows.failures import failure_of
    from workflows.mailbox import Mailbox
    from workflows.records import execute_record
    from workflows.subscriptions.commands import CALLS, refuse
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
            answer = await self._execute(self._mailbox.commands[0])
            if answer is None:
                self._mailbox.requeue_first()
            else:
                self._mailbox.answer(answer)
        elif aggregate.reports.unread:
            self._steps.on_report(aggregate.reports.unread.popleft())
        elif self._mailbox.hint_ids:
            self._steps.on_hints(self._mailbox.take_hints())
        elif (due_at := aggregate.grace_due_at()) and due_at <= workflow.now():
            self._steps.on_grace_end()
        else:
            return await self._steps.run_due()
        return True

    async def _execute(self, command: SubscriptionCommand) -> CommandAnswer | None:
        """Execute a command, or refuse it by the subscription's current state.

        Returns:
            The answer; None if a cancellation interrupted the command.
        """
        aggregate = self._aggregate
        if aggregate.state is None:
            return CommandAnswer(
                error_code=NotFoundError.code,
                message="there is no such subscription",
            )
        if (refusal := refuse(aggregate.state, command)) is not None:
            return refusal
        if command.kind is CommandKind.RETRY_PARKED:
            await self._steps.retry_parked()
            return CommandAnswer(state=aggregate.to_start_input())
        reports, charged_before = aggregate.reports, aggregate.reports.charged_invoice_ids()
        if Effect.STOP_PAYMENT_RETRIES in COMMANDS[command.kind].effects:
            await aggregate.payment_retries.stop(reports.closed_invoice_ids)
        # Reason: a charge that was in flight when the cancellation came is refunded.
        charged = reports.charged_invoice_ids() - charged_before
        try:
            await self._perform(command)
        except StepInterruptedError:
            return None
        except ActivityError as error:
            # Reason: payment retries that were stopped go on if the cancellation failed.
            aggregate.owed.add(aggregate.sync())
            return _answer_of(error)
        await self._follow_up(command, charged)
        return CommandAnswer(state=aggregate.to_start_input())

    async def _perform(self, command: SubscriptionCommand) -> None:
        call = CALLS[command.kind]
        facts = {**self._aggregate.facts(), "events": (command_event(command),)}
        step_input = call.make_input(command, facts)
        result = await run_interruptible(
            call.activity,
            step_input,
            STRIPE_COMMAND,
            step_input.summary,
            lambda: not command.is_cancel and self._mailbox.has_cancel(),
        )
        await self._aggregate.apply(result)

    async def _follow_up(self, command: SubscriptionCommand, charged: set[str]) -> None:
        aggregate, effects = self._aggregate, COMMANDS[command.kind].effects
        aggregate.owed.wake()
        if Effect.TRY_CARD in effects and command.stripe_payment_method_id is not None:
            await aggregate.payment_retries.try_card(command.stripe_payment_method_id)
        is_created = (
            aggregate.state is not None and aggregate.state.stripe_subscription_id is not None
        )
        if Effect.STOP_PAYMENT_RETRIES in effects and is_created:
            # Reason: a charge that was made while the cancellation waited is refunded.
            sync_input = aggregate.sync(
                refunds_all=self._steps.is_canceled_while_created,
                refund_stripe_invoice_ids=tuple(sorted(charged)),
            )
            aggregate.owed.add(sync_input)


def _answer_of(error: ActivityError) -> CommandAnswer:
    failure = failure_of(error)
    return CommandAnswer(
        error_code=failure.code or "command_failed",
        message=failure.message,
        details=failure.details,
    )
