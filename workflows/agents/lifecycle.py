"""The lifecycle of one run: admitted, queued, running, closed."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from domain.agents.runs import FINISH_MESSAGES, CloseRunInput, RunFinish, RunStart, RunStatus
    from domain.errors import BudgetExceededError, IllegalCommandError
    from domain.ids import agent_run_workflow_id
    from domain.workflow_names import RUN_NEXT
    from workflows.agents.activity_calls import RunActivityCalls
    from workflows.agents.graph_runner import GraphOutcome, GraphRunner
    from workflows.cancellation import await_cancellable
    from workflows.search_attributes import STATUS

Answer = TypeVar("Answer")

# How long a queued run waits before it checks the run ahead. The wait doubles, because an approval
# may take days and each check makes the history longer.
QUEUE_CHECK = timedelta(minutes=1)
LAST_QUEUE_CHECK = timedelta(hours=1)
INTERNAL_ERROR = "internal_error"
_OUT_OF_BUDGET = frozenset({BudgetExceededError.code, "price_unknown"})


class RunLifecycle:
    """Opens, runs and closes one run, on behalf of `AgentRunWorkflow`."""

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
        """Open the run, unless an earlier execution of the workflow did.

        Raises:
            ApplicationError: The run was refused: no access, a reached limit, a busy conversation.
        """
        if not self._is_resumed:
            self.is_first = (await unwrap_activity_error(self._calls.open())).is_first

    async def work(self) -> CloseRunInput | None:
        """Run the graph until it ends or the run is canceled.

        Returns:
            How the run ends; None if it continues as new.
        """
        work = asyncio.ensure_future(self._run_graph())
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

    async def close(self, end: CloseRunInput) -> None:
        """Record how the run ended, and let the conversation's next run begin."""
        closed = await self._calls.close(end)
        self.is_closed = True
        self._publish_status(end.run_status)
        if closed.next_agent_run_id is not None:
            await _signal_next_run(closed.next_agent_run_id)
        if end.run_status is RunStatus.COMPLETED:
            with suppress(ActivityError):
                await self._calls.remember()

    async def _run_graph(self) -> GraphOutcome:
        self._publish_status(RunStatus.RUNNING if self.is_first else RunStatus.QUEUED)
        queue_timeout = QUEUE_CHECK
        while not self.is_first:
            next_signal = workflow.wait_condition(
                lambda: self.is_next, timeout=queue_timeout, timeout_summary="check the run ahead"
            )
            with suppress(TimeoutError):
                await await_cancellable(next_signal)
            self.is_next, queue_timeout = False, min(2 * queue_timeout, LAST_QUEUE_CHECK)
            self.is_first = (await self._calls.start_if_first()).is_first
            if self.is_first:
                self._publish_status(RunStatus.RUNNING)
        return await self._runner.run()

    async def wait_until_begun(self) -> None:
        """Wait until the run has begun, so that a message to a queued run comes after its input.

        Raises:
            ApplicationError: The run was closed before.
        """
        await workflow.wait_condition(lambda: self.is_first or self.is_canceled or self.is_closed)
        if not self.is_first:
            raise refused(RunStatus.CANCELED if self.is_canceled else self.status)

    async def _outcome(self, graph_outcome: GraphOutcome) -> CloseRunInput | None:
        if graph_outcome is GraphOutcome.CONTINUE_AS_NEW:
            self.is_continuing = True
            # Reason: a cancel handler waits for the run's end, and must not be waited for.
            await workflow.wait_condition(
                lambda: self.is_canceled or workflow.all_handlers_finished(),
            )
            return self._end(RunStatus.CANCELED) if self.is_canceled else None
        if graph_outcome is GraphOutcome.BUDGET_EXCEEDED:
            message = "the budget was used up before the answer was complete"
            return self._end(RunStatus.BUDGET_EXCEEDED, BudgetExceededError.code, message)
        if (finish := self._runner.finish) is not RunFinish.STOP:
            return self._end(RunStatus.FAILED, finish, FINISH_MESSAGES[finish])
        return self._end(RunStatus.COMPLETED)

    def _end(
        self, status: RunStatus, code: str | None = None, text: str | None = None
    ) -> CloseRunInput:
        run_id = self._start.request.agent_run_id
        return CloseRunInput(
            agent_run_id=run_id, run_status=status, error_code=code, error_message=text
        )

    def _publish_status(self, status: RunStatus) -> None:
        """Show the run's status in the Web UI."""
        self.status = status
        workflow.upsert_search_attributes([STATUS.value_set(status)])
        request = self._start.request
        workflow.set_current_details(
            f"**{status}**: agent {request.agent}, prompt {request.prompt_version}, "
            f"user `{request.user_id}`"
        )


def _reason(error: FailureError) -> tuple[RunStatus, str, str]:
    """Return status, code and message for a failure; a timeout is reported by its last failure."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    if cause is None:
        return RunStatus.FAILED, "step_timed_out", "a step did not end in time"
    status = RunStatus.BUDGET_EXCEEDED if cause.type in _OUT_OF_BUDGET else RunStatus.FAILED
    if cause.type is None or cause.type == INTERNAL_ERROR:
        # Reason: the error's own text names Python classes, which tell a customer nothing.
        return status, INTERNAL_ERROR, "something went wrong on our side"
    return status, cause.type, cause.message


def refused(status: RunStatus) -> ApplicationError:
    """Build the error for a command that a run of this status does not accept."""
    return ApplicationError(
        f"the run is {status}",
        {"run_status": status},
        type=IllegalCommandError.code,
    )


async def _signal_next_run(agent_run_id: UUID) -> None:
    next_run = workflow.get_external_workflow_handle(agent_run_workflow_id(agent_run_id))
    # Reason: a run that has just ended needs no signal, and a waiting run also checks by itself.
    with suppress(FailureError):
        await next_run.signal(RUN_NEXT)


async def run_shielded(lifecycle: RunLifecycle, part: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a part of a run to its end, even if the workflow is cancelled.

    Temporal's own cancellation, as from its Web UI, ends the run as our cancel command does.
    """
    task = asyncio.ensure_future(part)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        lifecycle.is_canceled = True
        return await task


async def unwrap_activity_error(call: Awaitable[Answer]) -> Answer:
    """Wait for an activity, and raise its application error to the caller of the update.

    Raises:
        ApplicationError: The activity's error, marked as not retryable.
    """
    try:
        return await call
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
