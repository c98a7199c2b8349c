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
    from domain.agents.runs import FINISH_MESSAGES, CloseRunInput, RunFinish, RunStatus
    from domain.errors import BudgetExceededError, IllegalCommandError
    from domain.ids import agent_run_workflow_id
    from domain.workflow_names import RUN_NEXT
    from workflows.agents import activity_calls
    from workflows.agents.children import cancel_members
    from workflows.agents.graph_runner import GraphOutcome, run_graph
    from workflows.agents.state import RunState
    from workflows.cancellation import await_cancellable

Answer = TypeVar("Answer")

# How long a queued run waits before it checks the run ahead. The wait doubles, because an approval
# may take days and each check makes the history longer.
QUEUE_CHECK = timedelta(minutes=1)
LAST_QUEUE_CHECK = timedelta(hours=1)
INTERNAL_ERROR = "internal_error"
_OUT_OF_BUDGET = frozenset({BudgetExceededError.code, "price_unknown"})


async def open_run(run: RunState) -> None:
    """Open the run, unless an earlier execution of the workflow did.

    Raises:
        ApplicationError: The run was refused: no access, a reached limit, a busy conversation.
    """
    if not run.is_resumed:
        try:
            position = await unwrap_activity_error(activity_calls.open_run(run))
        except FailureError:
            run.hide()
            raise
        run.is_first = position.is_first


async def work(run: RunState) -> CloseRunInput | None:
    """Run the graph until it ends or the run is canceled.

    Returns:
        How the run ends; None if it continues as new.
    """
    graph = asyncio.ensure_future(_queue_and_run_graph(run))
    await workflow.wait_condition(lambda: graph.done() or run.is_canceled)
    if not graph.done():
        graph.cancel()
        with suppress(asyncio.CancelledError, FailureError):
            await graph
        await cancel_members(run)
        await activity_calls.finish_effects(run)
        return _end(run, RunStatus.CANCELED)
    try:
        return await _end_of(run, await graph)
    except (ActivityError, ApplicationError) as error:
        return _end(run, *_reason(error))


async def close_run(run: RunState, end: CloseRunInput) -> None:
    """Record how the run ended, and let the conversation's next run begin."""
    is_completed = end.run_status is RunStatus.COMPLETED
    # Reason: what a member was asked is no memory of the user; what its leader answers is.
    is_remembered = run.is_short and is_completed and run.start.request.parent is None
    closed = await activity_calls.close_run(
        run, end.model_copy(update={"is_remembered": is_remembered})
    )
    run.is_closed = True
    run.publish(end.run_status)
    if closed.next_agent_run_id is not None:
        await _signal_next_run(closed.next_agent_run_id)
    if end.run_status is RunStatus.COMPLETED and not run.is_short:
        with suppress(ActivityError):
            await activity_calls.remember_run(run)


async def wait_until_begun(run: RunState) -> None:
    """Wait until the run has begun, so that a message to a queued run comes after its input.

    Raises:
        ApplicationError: The run was closed before.
    """
    await workflow.wait_condition(lambda: run.is_first or run.is_canceled or run.is_closed)
    if not run.is_first:
        raise refused(RunStatus.CANCELED if run.is_canceled else run.status)


async def _queue_and_run_graph(run: RunState) -> GraphOutcome:
    """Wait for earlier runs of the conversation, then run the graph."""
    run.publish(RunStatus.RUNNING if run.is_first else RunStatus.QUEUED)
    queue_timeout = QUEUE_CHECK
    while not run.is_first:
        next_signal = workflow.wait_condition(
            lambda: run.is_next, timeout=queue_timeout, timeout_summary="check the run ahead"
        )
        with suppress(TimeoutError):
            await await_cancellable(next_signal)
        run.is_next, queue_timeout = False, min(2 * queue_timeout, LAST_QUEUE_CHECK)
        run.is_first = (await activity_calls.start_if_first(run.start.request)).is_first
        if run.is_first:
            run.publish(RunStatus.RUNNING)
    return await run_graph(run)


async def _end_of(run: RunState, outcome: GraphOutcome) -> CloseRunInput | None:
    """Return how a run ends after its graph; None if it continues as new."""
    if outcome is GraphOutcome.CONTINUE_AS_NEW:
        run.is_continuing = True
        # Reason: a cancel handler waits for the run's end, and must not be waited for.
        await workflow.wait_condition(
            lambda: run.is_canceled or workflow.all_handlers_finished(),
        )
        return _end(run, RunStatus.CANCELED) if run.is_canceled else None
    if outcome is GraphOutcome.BUDGET_EXCEEDED:
        message = "the budget was used up before the answer was complete"
        return _end(run, RunStatus.BUDGET_EXCEEDED, BudgetExceededError.code, message)
    if run.finish is not RunFinish.STOP:
        return _end(run, RunStatus.FAILED, run.finish, FINISH_MESSAGES[run.finish])
    return _end(run, RunStatus.COMPLETED)


def _end(
    run: RunState, status: RunStatus, code: str | None = None, text: str | None = None
) -> CloseRunInput:
    return CloseRunInput(
        agent_run_id=run.agent_run_id, run_status=status, error_code=code, error_message=text
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


async def run_shielded(run: RunState, part: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a part of a run to its end, even if the workflow is cancelled.

    Temporal's own cancellation, as from its Web UI, ends the run as our cancel command does.
    """
    task = asyncio.ensure_future(part)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        run.is_canceled = True
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
