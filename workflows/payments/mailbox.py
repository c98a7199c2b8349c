"""The queue in front of a payment: handlers put in, only `run` takes out.

The rules are those of `mailbox.py`. Answers need not travel to later runs: a refund's row, and a
payment's final status, give the same answer again.
"""

from collections import deque
from typing import NamedTuple
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.payments.messages import PaymentAnswer, RefundInput
    from domain.payments.rules import PaymentCommandKind


class PaymentCommand(NamedTuple):
    """Something that is asked of a payment.

    Args:
        command_id: Also the update's id.
        kind: What is asked.
        refund: What to pay back, for a refund.
    """

    command_id: UUID
    kind: PaymentCommandKind
    refund: RefundInput | None = None


class PaymentMailbox:
    """What waits to be done, and what was answered."""

    def __init__(self) -> None:
        self.commands: deque[PaymentCommand] = deque()
        self._answers: dict[UUID, PaymentAnswer] = {}
        self._is_hinted = False

    def has_mail(self) -> bool:
        """Whether anything waits to be taken out."""
        return bool(self.commands) or self._is_hinted

    def has_command(self) -> bool:
        """Whether a person waits."""
        return bool(self.commands)

    def has_another_command(self) -> bool:
        """Whether a person waits behind the command whose turn it is."""
        return len(self.commands) > 1

    def has_cancel(self) -> bool:
        """Whether a cancel waits."""
        return any(command.kind is PaymentCommandKind.CANCEL for command in self.commands)

    async def ask(self, command: PaymentCommand) -> PaymentAnswer:
        """Put a command in and wait for its answer; a repeat waits for the same one.

        Raises:
            ApplicationError: It was refused; its type is the error's code.
        """
        command_id = command.command_id
        waiting = {queued.command_id for queued in self.commands}
        if command_id not in self._answers and command_id not in waiting:
            self.commands.append(command)
        await workflow.wait_condition(lambda: command_id in self._answers)
        answer = self._answers[command_id]
        if answer.error_code is not None:
            raise ApplicationError(
                answer.message or "refused",
                answer.details,
                type=answer.error_code,
            )
        return answer

    def hint(self) -> None:
        """Put a hint in: any number of them is one look at Stripe."""
        self._is_hinted = True

    def take_hint(self) -> bool:
        """Take the hint out, if there is one."""
        taken, self._is_hinted = self._is_hinted, False
        return taken

    def answer(self, answer: PaymentAnswer) -> None:
        """Answer the first command; only now does it leave the queue."""
        self._answers[self.commands.popleft().command_id] = answer

    async def is_quiet(self) -> bool:
        """Wait until nobody waits for us, or something is put in.

        Returns:
            True if the run may end: there is no await between this and what follows.
        """
        await workflow.wait_condition(lambda: self.has_mail() or workflow.all_handlers_finished())
        return not self.has_mail()
