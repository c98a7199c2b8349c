"""The queue in front of a workflow: its handlers put in, only its `run` takes out.

So the workflow handles one thing at a time, without a lock. The rules: handlers never touch the
workflow's state. A validator may refuse a command early, but the decision is made when the command
is taken out. Answers are passed on to the next run, because update ids dedupe within one run only.
`all_handlers_finished` is never awaited alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from temporalio import workflow

KEPT_ANSWER_COUNT = 100


class Command(Protocol):
    """The properties of a command that a mailbox uses."""

    @property
    def command_id(self) -> UUID:
        """The id of the command and of its update."""

    @property
    def is_cancel(self) -> bool:
        """Whether the command cancels, and so goes before steps that are not done yet."""


CommandT = TypeVar("CommandT", bound=Command)
Answer = TypeVar("Answer")


class Mailbox(Generic[CommandT, Answer]):
    """Waiting commands and hints, and the recent answers.

    Args:
        hint_ids: Ids of Stripe events that the previous run did not handle.
        answers: Recent answers of the previous run.
        has_more: Returns whether anything else waits for the workflow.
    """

    def __init__(
        self,
        hint_ids: Iterable[str] = (),
        answers: Mapping[UUID, Answer] | None = None,
        has_more: Callable[[], bool] = lambda: False,
    ) -> None:
        self.commands: deque[CommandT] = deque()
        self.hint_ids: list[str] = list(hint_ids)
        self.answers: dict[UUID, Answer] = dict(answers or {})
        self._has_more = has_more

    def has_mail(self) -> bool:
        """Return whether anything waits to be taken out."""
        return bool(self.commands or self.hint_ids) or self._has_more()

    def has_command(self) -> bool:
        """Return whether a command waits."""
        return bool(self.commands)

    def has_another_command(self) -> bool:
        """Return whether a command waits behind the first one."""
        return len(self.commands) > 1

    def has_cancel(self) -> bool:
        """Return whether a command that cancels waits."""
        return any(command.is_cancel for command in self.commands)

    def requeue_first(self) -> None:
        """Move the first command behind all others."""
        self.commands.append(self.commands.popleft())

    async def ask(self, command: CommandT) -> Answer:
        """Put a command in and wait for its answer; a repeated command gets the same answer."""
        command_id = command.command_id
        waiting_ids = {queued.command_id for queued in self.commands}
        if command_id not in self.answers and command_id not in waiting_ids:
            self.commands.append(command)
        await workflow.wait_condition(lambda: command_id in self.answers)
        return self.answers[command_id]

    def hint(self, event_ids: Iterable[str]) -> None:
        """Add the ids of Stripe events as hints, each once."""
        self.hint_ids += [event_id for event_id in event_ids if event_id not in self.hint_ids]

    def take_hints(self) -> tuple[str, ...]:
        """Take all hints out; any number of hints needs only one read from Stripe."""
        hint_ids, self.hint_ids = tuple(self.hint_ids), []
        return hint_ids

    def answer(self, answer: Answer) -> None:
        """Answer the first command, and only now remove it from the queue.

        A repeated command therefore joins the waiting one instead of queueing again.
        """
        self.answers[self.commands.popleft().command_id] = answer
        for command_id in list(self.answers)[:-KEPT_ANSWER_COUNT]:
            del self.answers[command_id]

    async def is_quiet(self) -> bool:
        """Wait until all callers have their answers or something is put in.

        Returns:
            True if the run may end; no await may come between this call and the end.
        """
        await workflow.wait_condition(lambda: self.has_mail() or workflow.all_handlers_finished())
        return not self.has_mail()
