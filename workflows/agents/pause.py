"""Calls the model for a run that may be interrupted, or has to wait for its budget."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from domain.agents.runs import RunStatus, StepResult, waits_for_budget
    from workflows.agents import activity_calls
    from workflows.agents.state import RunState
    from workflows.cancellation import await_cancellable

# How long a run waits before it tries again by itself: a plan may have been changed, or a period
# begun. The wait doubles, because each try makes the history longer.
FIRST_TRY = timedelta(minutes=1)
LAST_TRY = timedelta(hours=1)


async def ask_model(run: RunState, step: int) -> StepResult | None:
    """Call the model once, as soon as the budget suffices; again after an interruption.

    Returns:
        The step's result; None if the run waits, and continues as new for its long history.

    Raises:
        ActivityError: The step failed, or the budget does not suffice and the run does not wait.
    """
    pause = FIRST_TRY
    while True:
        raise_count = run.raise_count
        try:
            result = await _ask_until_uninterrupted(run, step)
        except ActivityError as error:
            cause = error.cause
            code = cause.type if isinstance(cause, ApplicationError) else None
            if not waits_for_budget(run.start.request.on_budget, code):
                raise
        else:
            if run.status is RunStatus.WAITING_BUDGET:
                run.publish(RunStatus.RUNNING)
            return result
        run.publish(RunStatus.WAITING_BUDGET)
        if not await _wait(run, raise_count, pause):
            return None
        pause = min(2 * pause, LAST_TRY)


async def _wait(run: RunState, raise_count: int, pause: timedelta) -> bool:
    """Wait until the budget was raised or the time is over; return False if the history is long."""

    def is_long_by_now() -> bool:
        return run.is_history_long or workflow.info().is_continue_as_new_suggested()

    with suppress(TimeoutError):
        await await_cancellable(
            workflow.wait_condition(
                lambda: run.raise_count > raise_count or is_long_by_now(),
                timeout=pause,
                timeout_summary="wait for the budget",
            ),
        )
    return not is_long_by_now()


async def _ask_until_uninterrupted(run: RunState, step: int) -> StepResult:
    """Call the model; a message that interrupts stops the call, and the model reads it at once.

    Raises:
        ActivityError: The step failed.
    """
    while (result := await _ask_once(run, step)) is None:
        pass
    return result


async def _ask_once(run: RunState, step: int) -> StepResult | None:
    """Call the model; return None if a message has interrupted it.

    Raises:
        ActivityError: The step failed.
    """
    seen = run.interrupt_count
    call = asyncio.ensure_future(activity_calls.ask_model(run, step))
    try:
        await workflow.wait_condition(lambda: call.done() or run.interrupt_count > seen)
    except asyncio.CancelledError:
        await _stop(call)
        raise
    if call.done():
        return call.result()
    result = await _stop(call)
    if run.is_canceled:
        # Reason: a cancel that comes while the call is being stopped ends with the call.
        raise asyncio.CancelledError
    return result


async def _stop(call: "asyncio.Future[StepResult]") -> StepResult | None:
    """Cancel a call of the model, and return its result if it was just complete."""
    call.cancel()
    with suppress(asyncio.CancelledError, FailureError):
        return await call
    return None
