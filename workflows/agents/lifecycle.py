"""The lifecycle of one run: admitted, in line, at work, over."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from domain.agents.runs import FINISH_MESSAGES, RunEnd, RunFinish, RunStart, RunStatus
    from domain.errors import BudgetExceededError, IllegalCommandError
    from domain.ids import agent_run_workflow_id
    from domain.workflow_names import RUN_NEXT
    from workflows.agents.activity_calls import RunActivityCalls
    from workflows.agents.graph_runner import GraphOutcome, GraphRunner
    from workflows.cancellation import await_cancellable
    from workflows.search_attributes import STATUS

Answer = TypeVar("Answer")

# How long a run in line waits before it looks whether the one ahead is still there: longer each
# time, for it may be days until a person has decided, and each look makes our history longer.
QUEUE_CHECK = timedelta(minutes=1)
LAST_QUEUE_CHECK = timedelta(hours=1)
INTERNAL_ERROR = "internal_error"
_OUT_OF_BUDGET = frozenset({BudgetExceededError.code, "price_unknown"})


class RunLifecycle:
    """What `AgentRunWorkflow` does, one thing after the other."""

    def __init__(self, start: RunStart, calls: RunActivityCalls, runner: GraphRunner) -> None:
        self._start = start
        self._calls = calls
        self._runner = runner
        self.status = RunStatus.QUEUED
        self._is_resumed = start.is_resumed or start.step > 0
        self.is_first = self._is_resumed
        self.is_next = False
        self.is_canceled = False
        self.is_closed = False
        self.is_continuing = False

    async def open(self) -> None:
        """Be admitted, unless that was done by the run before.

        Raises:
            ApplicationError: The run was refused: no access, a limit, a busy conversation.
        """
        if not self._is_resumed:
            self.is_first = (await unwrap_activity_error(self._calls.open())).is_first

    async def work(self) -> RunEnd | None:
        """Let the graph run until it ends, or somebody ends it.

        Returns:
            How the run ends; None if it is to continue as new.
        """
        work = asyncio.ensure_future(self._go())
        await workflow.wait_condition(lambda: work.done() or self.is_canceled)
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError, FailureError):
                await work
            await self._runner.finish_effects()
            return self._end(RunStatus.CANCELED)
        try:
            return await self._outcome(await work)
        except (ActivityError, ApplicationError) as error:
            return self._end(*_reason(error))

    async def close(self, end: RunEnd) -> None:
        """Write down how the run ended, and let the next one of the conversation begin."""
        closed = await self._calls.close(end)
        self.is_closed = True
        self._show(end.run_status)
        if closed.next_agent_run_id is not None:
            await _run_next(closed.next_agent_run_id)
        if end.run_status is RunStatus.COMPLETED:
            with suppress(ActivityError):
                await self._calls.remember()

    async def _go(self) -> GraphOutcome:
        self._show(RunStatus.RUNNING if self.is_first else RunStatus.QUEUED)
        pause = QUEUE_CHECK
        while not self.is_first:
            turn = workflow.wait_condition(
                lambda: self.is_next, timeout=pause, timeout_summary="our turn?"
            )
            with suppress(TimeoutError):
                await await_cancellable(turn)
            self.is_next, pause = False, min(2 * pause, LAST_QUEUE_CHECK)
            self.is_first = (await self._calls.start_if_first()).is_first
            if self.is_first:
                self._show(RunStatus.RUNNING)
        return await self._runner.run()

    async def wait_in_line(self) -> None:
        """Wait for our turn: what is said to a run in line comes after what it was begun with.

        Raises:
            ApplicationError: The run came to its end before.
        """
        await workflow.wait_condition(lambda: self.is_first or self.is_canceled or self.is_closed)
        if not self.is_first:
            raise refused(RunStatus.CANCELED if self.is_canceled else self.status)

    async def _outcome(self, ending: GraphOutcome) -> RunEnd | None:
        if ending is GraphOutcome.CONTINUE_AS_NEW:
            self.is_continuing = True
            # Reason: a cancel waits for us, and would wait for ever if we waited for it, too.
            await workflow.wait_condition(
                lambda: self.is_canceled or workflow.all_handlers_finished(),
            )
            return self._end(RunStatus.CANCELED) if self.is_canceled else None
        if ending is GraphOutcome.BUDGET_EXCEEDED:
            message = "the answer ends where the budget did"
            return self._end(RunStatus.BUDGET_EXCEEDED, BudgetExceededError.code, message)
        if (finish := self._runner.finish) is not RunFinish.STOP:
            return self._end(RunStatus.FAILED, finish, FINISH_MESSAGES[finish])
        return self._end(RunStatus.COMPLETED)

    def _end(self, status: RunStatus, code: str | None = None, text: str | None = None) -> RunEnd:
        run_id = self._start.request.agent_run_id
        return RunEnd(agent_run_id=run_id, run_status=status, error_code=code, error_message=text)

    def _show(self, status: RunStatus) -> None:
        """Let the Web UI tell where the run stands."""
        self.status = status
        workflow.upsert_search_attributes([STATUS.value_set(status)])
        request = self._start.request
        workflow.set_current_details(f"{request.agent} {request.prompt_version}: {status}")


def _reason(error: FailureError) -> tuple[RunStatus, str, str]:
    """Name what went wrong; a step that ran out of time is named by its last failure."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    if cause is None:
        return RunStatus.FAILED, "step_timed_out", "a step did not end in time"
    status = RunStatus.BUDGET_EXCEEDED if cause.type in _OUT_OF_BUDGET else RunStatus.FAILED
    if cause.type is None or cause.type == INTERNAL_ERROR:
        # Reason: its own words name classes of Python's, which a customer cannot use.
        return status, INTERNAL_ERROR, "something went wrong on our side"
    return status, cause.type, cause.message


def refused(status: RunStatus) -> ApplicationError:
    """Make what a command gets that a run of this status does not take."""
    return ApplicationError(
        f"the run is {status}",
        {"run_status": status},
        type=IllegalCommandError.code,
    )


async def _run_next(agent_run_id: UUID) -> None:
    waiting = workflow.get_external_workflow_handle(agent_run_workflow_id(agent_run_id))
    # Reason: one that has just ended needs no turn; one that was not reached asks by itself.
    with suppress(FailureError):
        await waiting.signal(RUN_NEXT)


async def run_shielded(lifecycle: RunLifecycle, part: Coroutine[Any, Any, Answer]) -> Answer:
    """See a part of a run to its end.

    Temporal's own cancel, as from its Web UI, ends the run as ours does: it is written down.
    """
    task = asyncio.ensure_future(part)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        lifecycle.is_canceled = True
        return await task


async def unwrap_activity_error(asked: Awaitable[Answer]) -> Answer:
    """Wait for an activity; what it refuses with is refused to whoever asked us.

    Raises:
        ApplicationError: As the activity raised it, and not to be tried again.
    """
    try:
        return await asked
    except ActivityError as error:
        if not isinstance(error.cause, ApplicationError):
            raise
        cause = error.cause
        failure = ApplicationError(
            cause.message,
            *cause.details,
            type=cause.type,
            non_retryable=True,
        )
        raise failure from error
