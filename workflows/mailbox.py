"""The queue in front of a workflow: its handlers put in, only its `run` takes out.

So everything is done one after the other, without a lock. The rules, each found by trying it
without: handlers never touch the workflow's state; a validator refuses early, the decision is made
when the command is taken out; answers travel to the next run, because update ids dedupe within one
run only; `all_handlers_finished` is never awaited alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from temporalio import workflow

KEPT_ANSWER_COUNT = 100


class Command(Protocol):
    """What a mailbox has to know of a command."""

    @property
    def command_id(self) -> UUID:
        """The update's id."""

    @property
    def is_cancel(self) -> bool:
        """Whether it cancels, and so goes before what has not happened yet."""


CommandT = TypeVar("CommandT", bound=Command)
Answer = TypeVar("Answer")


class Mailbox(Generic[CommandT, Answer]):
    """Commands and hints that wait, and the answers that were given.

    Args:
        hint_ids: Stripe events not looked into yet, from the run before.
        answers: Recent answers, from the run before.
        has_more: Whether anything else waits for this workflow.
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
        """Tell whether anything waits to be taken out."""
        return bool(self.commands or self.hint_ids) or self._has_more()

    def has_command(self) -> bool:
        """Tell whether a command waits."""
        return bool(self.commands)

    def has_another_command(self) -> bool:
        """Tell whether a command waits behind the first one."""
        return len(self.commands) > 1

    def has_cancel(self) -> bool:
        """Tell whether a cancel waits."""
        return any(command.is_cancel for command in self.commands)

    def put_behind(self) -> None:
        """Let the first command wait behind all others."""
        self.commands.append(self.commands.popleft())

    async def ask(self, command: CommandT) -> Answer:
        """Put a command in and wait for its answer; a repeat waits for the same one."""
        command_id = command.command_id
        waiting = {queued.command_id for queued in self.commands}
        if command_id not in self.answers and command_id not in waiting:
            self.commands.append(command)
        await workflow.wait_condition(lambda: command_id in self.answers)
        return self.answers[command_id]

    def hint(self, event_ids: Iterable[str]) -> None:
        """Put hints in, each once."""
        self.hint_ids += [known for known in event_ids if known not in self.hint_ids]

    def take_hints(self) -> tuple[str, ...]:
        """Take all hints out: any number of them is one read from Stripe."""
        taken, self.hint_ids = tuple(self.hint_ids), []
        return taken

    def answer(self, answer: Answer) -> None:
        """Answer the first command.

        Only now does it leave the queue: a repeat joins the waiting one instead of queueing.
        """
        self.answers[self.commands.popleft().command_id] = answer
        for old in list(self.answers)[:-KEPT_ANSWER_COUNT]:
            del self.answers[old]

    async def is_quiet(self) -> bool:
        """Wait until all callers have their answers, or something is put in.

        Returns:
            True if the run may end: there is no await between this and what follows.
        """
        await workflow.wait_condition(lambda: self.has_mail() or workflow.all_handlers_finished())
        return not self.has_mail()
