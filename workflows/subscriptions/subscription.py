"""The workflow of one subscription, from its creation to its end."""

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.payment_retries.messages import RetryReport
    from domain.subscriptions.messages import SubscriptionCommand
    from domain.subscriptions.state import CommandAnswer, SubscriptionStart, SubscriptionState
    from domain.workflow_names import REPORT
    from workflows.mailbox import Mailbox
    from workflows.subscriptions.commands import refuse
    from workflows.subscriptions.handlers import SubscriptionHandlers
    from workflows.subscriptions.payment_retries import RetryReports
    from workflows.subscriptions.state import SubscriptionAggregate


@workflow.defn(name="SubscriptionWorkflow")
class SubscriptionWorkflow:
    """The workflow of one subscription, and the only writer of its view.

    Its id is `subscription-{subscription_id}`. Commands, hints and reports go into the mailbox;
    only `run` takes them out, one by one. A step that fails stays owed, and is retried later.
    """

    @workflow.init
    def __init__(self, start: SubscriptionStart) -> None:
        self._start = start
        self._reports = RetryReports()
        self._mailbox: Mailbox[SubscriptionCommand, CommandAnswer] = Mailbox(
            start.hint_ids,
            start.answers,
            self._reports.has_any,
        )
        self._aggregate = SubscriptionAggregate(start, self._reports)
        self._handlers = SubscriptionHandlers(start, self._mailbox, self._aggregate)

    @workflow.run
    async def run(self, start: SubscriptionStart) -> SubscriptionState | None:
        """Handle the mailbox and the owed steps until the subscription has ended.

        Args:
            start: The subscription to create, or the state of the previous run.

        Returns:
            The final state; None if there is no such subscription.
        """
        await self._handlers.open()
        while not self._is_done():
            await self._handle_next()
        return self._aggregate.state

    def _is_done(self) -> bool:
        is_idle = not self._mailbox.has_mail() and workflow.all_handlers_finished()
        return is_idle and self._aggregate.is_over()

    async def _handle_next(self) -> None:
        if await self._handlers.handle_next():
            return
        if self._aggregate.is_over():
            await self._mailbox.is_quiet()
        elif workflow.info().get_current_history_length() >= self._start.continue_as_new_after:
            await self._continue_as_new()
        else:
            await self._sleep()

    async def _sleep(self) -> None:
        due_at = self._aggregate.next_due_at()
        time_left = None if due_at is None else due_at - workflow.now()
        with suppress(TimeoutError):
            mailbox = self._mailbox
            await workflow.wait_condition(
                mailbox.has_mail,
                timeout=time_left,
                timeout_summary="grace, a trial or a pause ends, or an owed step is due",
            )

    async def _continue_as_new(self) -> None:
        if await self._mailbox.is_quiet():  # no await between this and the next line
            state, answers = self._aggregate.to_start_input(), self._mailbox.answers
            carried_over = {
                "state": state,
                "hint_ids": (),
                "answers": answers,
                "handled_timers": self._aggregate.timers.handled,
                "adoption": self._start.adoption if self._aggregate.is_importing else None,
            }
            workflow.continue_as_new(self._start.model_copy(update=carried_over))

    @workflow.update
    async def command(self, command: SubscriptionCommand) -> SubscriptionState:
        """Put a command into the mailbox and wait for its answer.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The subscription's state after the command was executed.

        Raises:
            ApplicationError: Our rules or Stripe refused; the error's type is the error code.
        """
        answer = await self._mailbox.ask(command)
        if answer.state is None:
            raise _failure(answer)
        return answer.state

    @command.validator
    def _validate_command(self, command: SubscriptionCommand) -> None:
        if command.command_id in self._mailbox.answers:
            return  # a repeated command gets its first answer, whatever the state
        if workflow.info().get_current_history_length() >= 2 * self._start.continue_as_new_after:
            raise ApplicationError("the workflow continues as new; try again", type="busy")
        if (refusal := refuse(self._aggregate.state, command)) is not None:
            raise _failure(refusal)

    @workflow.signal
    def hint(self, event_ids: list[str]) -> None:
        """Add hints: the subscription has to be read at Stripe."""
        self._mailbox.hint(event_ids)

    @workflow.signal(name=REPORT)
    def report(self, report: RetryReport) -> None:
        """Queue a report of a payment retry."""
        self._reports.unread.append(report)

    @workflow.query
    def view(self) -> SubscriptionState | None:
        """Return the state without adding to the history; None before the first step."""
        return self._aggregate.state


def _failure(answer: CommandAnswer) -> ApplicationError:
    return ApplicationError(answer.message or "refused", answer.details, type=answer.error_code)
