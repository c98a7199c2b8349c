"""The queue in front of a subscription: handlers put in, only `run` takes out.

So everything is done one after the other, without a lock. The rules, each found by trying it
without: handlers never touch the subscription's state; a validator is a courtesy, the decision
is made when the turn comes; answers travel, because update ids dedupe within one run only;
`all_handlers_finished` is never awaited alone.
"""

from collections import deque
from collections.abc import Iterable
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.payment_retries.lifecycle import CLOSED, ChargeResult
    from domain.payment_retries.messages import RetryReport
    from domain.subscriptions.lifecycle import CommandKind
    from domain.subscriptions.messages import CommandAnswer, SubscriptionCommand, SubscriptionStart

KEPT_ANSWER_COUNT = 100


class Mailbox:
    """What waits to be done, and what was answered."""

    def __init__(self, start: SubscriptionStart) -> None:
        self.commands: deque[SubscriptionCommand] = deque()
        self.reports: deque[RetryReport] = deque()
        self.hint_ids: list[str] = list(start.hint_ids)
        self.answers: dict[UUID, CommandAnswer] = dict(start.answers)

    def has_mail(self) -> bool:
        """Whether anything waits to be taken out."""
        return bool(self.commands or self.reports or self.hint_ids)

    def has_command(self) -> bool:
        """Whether a person waits."""
        return bool(self.commands)

    def has_another_command(self) -> bool:
        """Whether a person waits behind the command whose turn it is."""
        return len(self.commands) > 1

    def has_cancel(self) -> bool:
        """Whether a cancel waits."""
        return any(command.kind is CommandKind.CANCEL_NOW for command in self.commands)

    def put_behind(self) -> None:
        """Let the first command wait behind all others."""
        self.commands.append(self.commands.popleft())

    def closed_invoice_ids(self) -> set[str]:
        """Return the invoices whose payment retry has reported its end, read or unread."""
        closed = [report for report in self.reports if report.retry_status in CLOSED]
        return {report.stripe_invoice_id for report in closed}

    def charged_invoice_ids(self) -> set[str]:
        """Return the invoices that a payment retry has charged, of which nobody has read yet."""
        return {
            report.stripe_invoice_id
            for report in self.reports
            if report.outcome is not None and report.outcome.result is ChargeResult.SUCCEEDED
        }

    async def ask(self, command: SubscriptionCommand) -> CommandAnswer:
        """Put a command in and wait for its answer; a repeat waits for the same one."""
        waiting = {queued.command_id for queued in self.commands}
        if command.command_id not in self.answers and command.command_id not in waiting:
            self.commands.append(command)
        await workflow.wait_condition(lambda: command.command_id in self.answers)
        return self.answers[command.command_id]

    def hint(self, event_ids: Iterable[str]) -> None:
        """Put hints in, each once."""
        self.hint_ids += [known for known in event_ids if known not in self.hint_ids]

    def take_hints(self) -> tuple[str, ...]:
        """Take all hints out: any number of them is one look at Stripe."""
        taken, self.hint_ids = tuple(self.hint_ids), []
        return taken

    def answer(self, answer: CommandAnswer) -> None:
        """Answer the first command.

        Only now does it leave the queue: a repeat joins the waiting one instead of queueing.
        """
        command = self.commands.popleft()
        self.answers[command.command_id] = answer
        for old in list(self.answers)[:-KEPT_ANSWER_COUNT]:
            del self.answers[old]

    async def is_quiet(self) -> bool:
        """Wait until nobody waits for us, or something is put in.

        Returns:
            True if the run may end: there is no await between this and what follows.
        """
        await workflow.wait_condition(lambda: self.has_mail() or workflow.all_handlers_finished())
        return not self.has_mail()
