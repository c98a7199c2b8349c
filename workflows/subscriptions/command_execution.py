"""Executes commands to a subscription, one at a time."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.unused_time import UnusedTimeActivities
    from domain.errors import NotFoundError
    from domain.subscriptions.events import command_event
    from domain.subscriptions.lifecycle import COMMANDS, CommandKind, Effect
    from domain.subscriptions.messages import CancelRefund, SubscriptionCommand
    from domain.subscriptions.state import CommandAnswer
    from domain.subscriptions.steps import RefundUnusedInput, UnusedTimeInput
    from workflows.activity_options import STRIPE_COMMAND
    from workflows.cancellation import StepInterruptedError, run_interruptible
    from workflows.failures import failure_of
    from workflows.mailbox import Mailbox
    from workflows.subscriptions.commands import CALLS, refuse
    from workflows.subscriptions.state import SubscriptionAggregate
    from workflows.subscriptions.steps import SubscriptionSteps


class CommandExecution:
    """Executes a command: what its rule asks for before the call, the call, and what follows."""

    def __init__(
        self,
        mailbox: Mailbox[SubscriptionCommand, CommandAnswer],
        aggregate: SubscriptionAggregate,
        steps: SubscriptionSteps,
    ) -> None:
        self._mailbox = mailbox
        self._aggregate = aggregate
        self._steps = steps

    async def execute(self, command: SubscriptionCommand) -> CommandAnswer | None:
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
        try:
            await self._carry_out(command)
        except StepInterruptedError:
            return None
        except ActivityError as error:
            # Reason: payment retries that were stopped go on if the cancellation failed.
            aggregate.owed.add(aggregate.sync())
            return _answer_of(error)
        return CommandAnswer(state=aggregate.to_start_input())

    async def _carry_out(self, command: SubscriptionCommand) -> None:
        unused_cents = await self._price_unused_time(command)
        aggregate, effects = self._aggregate, COMMANDS[command.kind].effects
        reports, charged_before = aggregate.reports, aggregate.reports.charged_invoice_ids()
        if Effect.STOP_PAYMENT_RETRIES in effects:
            await aggregate.payment_retries.stop(reports.closed_invoice_ids)
        # Reason: a charge that was in flight when the cancellation came is refunded.
        charged = reports.charged_invoice_ids() - charged_before
        await self._call(command, unused_cents)
        aggregate.owed.wake()
        if Effect.TRY_CARD in effects and command.stripe_payment_method_id is not None:
            await aggregate.payment_retries.try_card(command.stripe_payment_method_id)
        if Effect.STOP_PAYMENT_RETRIES in effects:
            self._owe_refunds(command, charged, unused_cents)

    async def _price_unused_time(self, command: SubscriptionCommand) -> int:
        """Return what has to be refunded after a cancel, in minor units."""
        if not command.is_cancel or command.refund is CancelRefund.NONE:
            return 0
        # Reason: after the cancel, Stripe does not compute this any more.
        return await workflow.execute_activity_method(
            UnusedTimeActivities.price_unused_time,
            UnusedTimeInput(
                subscription_id=self._aggregate.subscription_id, cause=str(command.command_id)
            ),
            **STRIPE_COMMAND,
            summary="price the unused time",
        )

    async def _call(self, command: SubscriptionCommand, unused_cents: int) -> None:
        call = CALLS[command.kind]
        facts = {**self._aggregate.facts(), "events": (command_event(command),)}
        step_input = call.make_input(command, facts)
        if command.is_cancel:
            step_input = step_input.model_copy(update={"refunded_cents": unused_cents})
        result = await run_interruptible(
            call.activity,
            step_input,
            STRIPE_COMMAND,
            step_input.summary,
            lambda: not command.is_cancel and self._mailbox.has_cancel(),
        )
        await self._aggregate.apply(result)

    def _owe_refunds(
        self, command: SubscriptionCommand, charged: set[str], unused_cents: int
    ) -> None:
        """Owe the refunds of charges that were made while a cancel waited, and of unused time."""
        aggregate = self._aggregate
        if aggregate.state is None or aggregate.state.stripe_subscription_id is None:
            return
        sync_input = aggregate.sync(
            refunds_all=self._steps.is_canceled_while_created,
            refund_stripe_invoice_ids=tuple(sorted(charged)),
        )
        aggregate.owed.add(sync_input)
        if unused_cents:
            facts, cause = aggregate.facts(), command.command_id
            refund = RefundUnusedInput(**facts, amount_cents=unused_cents, cause=cause)
            aggregate.owed.add(refund)


def _answer_of(error: ActivityError) -> CommandAnswer:
    failure = failure_of(error)
    return CommandAnswer(
        error_code=failure.code or "command_failed",
        message=failure.message,
        details=failure.details,
    )
