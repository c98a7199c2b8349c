"""The turns of one subscription: what `SubscriptionWorkflow` does with what it takes out."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.last_resorts import LastResortActivities
    from activities.subscription_commands import SubscriptionCommandActivities as Commands
    from activities.subscription_rows import SubscriptionRowActivities
    from activities.subscriptions import SubscriptionActivities
    from domain.billing import CommandAnswer, SubscriptionCommand, SubscriptionStart
    from domain.errors import NotFoundError
    from domain.notes import note_of_command, note_of_grace_end, notes_of_report
    from domain.retries import OlderInvoices, RetryStatus
    from domain.retry_messages import RetryReport
    from domain.subscriptions import CommandKind
    from workflows.mailbox import Mailbox
    from workflows.subscription_standing import Step, SubscriptionStanding
    from workflows.timeouts import RECORD


class SubscriptionTurns:
    """One thing after the other: start, commands, reports, hints, the end of grace."""

    def __init__(
        self,
        start: SubscriptionStart,
        box: Mailbox,
        standing: SubscriptionStanding,
    ) -> None:
        self._start = start
        self._box = box
        self._standing = standing

    async def open(self) -> None:
        """Write the row, then create the subscription at Stripe, unless that was done before."""
        if self._standing.state is not None:
            return
        order = self._standing.order(request=self._start.request)
        row = await workflow.execute_activity_method(
            SubscriptionRowActivities.open_subscription,
            order,
            **RECORD,
            summary="write the row",
        )
        self._standing.take_up(row)
        is_new = row is not None and row.stripe_subscription_id is None
        if is_new and self._start.request is not None and not self._standing.is_over():
            await self._standing.advance(SubscriptionActivities.create_subscription, order)

    async def obey(self, command: SubscriptionCommand) -> CommandAnswer:
        """Carry a command out, or say why not: now, when its turn has come."""
        if self._standing.state is None:
            return CommandAnswer(
                error_code=NotFoundError.code,
                message="there is no such subscription",
            )
        if (refusal := self._standing.refusal(command)) is not None:
            return refusal
        step: Step = Commands.change_payment_method
        if command.kind is CommandKind.CANCEL_NOW:
            await self._standing.recoveries.stop(self._box.closed_invoice_ids)
            step = Commands.cancel_subscription
        order = self._standing.order(command=command, notes=(note_of_command(command),))
        try:
            await self._standing.take(step, order)
        except ActivityError as error:
            return _answer_of(error)
        if command.stripe_payment_method_id is not None:
            await self._standing.recoveries.offer_card(command.stripe_payment_method_id)
        return CommandAnswer(state=self._standing.carried())

    async def hear(self, report: RetryReport) -> None:
        """Take in what a recovery tells, and do what it asks."""
        recoveries = self._standing.recoveries
        recoveries.hear(report)
        order = self._standing.order(
            notes=notes_of_report(report),
            last_resort=report.last_resort,
        )
        if report.last_resort is not None and not self._standing.is_over():
            await self._standing.advance(LastResortActivities.carry_out_last_resort, order)
        else:
            await self._standing.advance(SubscriptionActivities.refresh_subscription, order)
        if report.retry_status is not RetryStatus.RECOVERED or not recoveries.open:
            return
        if report.older_invoices is OlderInvoices.VOID:
            order = self._standing.order(void_stripe_invoice_ids=tuple(recoveries.open))
            await self._standing.advance(LastResortActivities.void_invoices, order)
        else:
            await recoveries.go_on()

    async def look(self, hint_ids: tuple[str, ...]) -> None:
        """Look at Stripe once, however many hints there were."""
        if self._standing.state is not None:
            order = self._standing.order(hint_ids=hint_ids)
            await self._standing.advance(SubscriptionActivities.refresh_subscription, order)

    async def tell_grace_is_over(self) -> None:
        """Record that access has ended."""
        ended_at = self._standing.untold_grace_end() or workflow.now()
        self._standing.grace_told = ended_at
        order = self._standing.order(notes=(note_of_grace_end(ended_at),))
        await self._standing.advance(SubscriptionActivities.refresh_subscription, order)


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
