"""Waits for activities: cancellations are never lost, and urgent commands can interrupt them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError, FailureError
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from workflows.activity_options import ActivityOptions

Answer = TypeVar("Answer")
Argument = TypeVar("Argument")

# How long a POST in flight may go on before a more urgent command is handled.
FINISH_TIMEOUT = timedelta(seconds=15)


async def await_cancellable(operation: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for an activity or a condition; raise a cancellation of the caller in any case.

    Args:
        operation: The activity or condition. On a cancellation it is cancelled and awaited.

    Returns:
        The result of the operation.

    Raises:
        CancelledError: The caller was cancelled.
        ActivityError: The activity failed.
        TimeoutError: The condition did not become true in time.
    """
    task = asyncio.ensure_future(operation)
    try:
        # Reason: without the shield, the SDK passes a cancellation to the activity, and Python
        # 3.11's `wait_for` to the condition, and both lose it if the operation is just ending.
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with suppress(asyncio.CancelledError, FailureError, TimeoutError):
            await task
        raise


class StepInterruptedError(Exception):
    """An activity was interrupted by an urgent command; its effect is unknown."""


async def run_interruptible(
    activity_method: Callable[[Any, Argument], Coroutine[Any, Any, Answer]],
    activity_input: Argument,
    options: ActivityOptions,
    summary: str,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Answer:
    """Run an activity, and cancel it as soon as a more urgent command comes.

    A read and a wait between two attempts end at once; a POST in flight is finished.

    Args:
        activity_method: The activity.
        activity_input: Its input.
        options: Timeouts and retry policy.
        summary: Summary for the Web UI.
        is_interrupted: Returns whether a more urgent command has come; by default never.

    Returns:
        The result of the activity, even if it ended during its cancellation.

    Raises:
        StepInterruptedError: The activity was cancelled.
        ActivityError: The activity failed.
    """
    activity_task = workflow.start_activity_method(
        activity_method,
        activity_input,
        **options,
        summary=summary,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    try:
        await workflow.wait_condition(lambda: activity_task.done() or is_interrupted())
    except asyncio.CancelledError:
        # Reason: a cancelled workflow must not leave moved money without its record.
        with suppress(asyncio.CancelledError, FailureError):
            await activity_task
        raise
    await _cancel_and_wait(activity_task)
    try:
        result: Answer = await activity_task
    except asyncio.CancelledError as error:
        raise StepInterruptedError from error
    except ActivityError as error:
        if isinstance(error.cause, CancelledError):
            raise StepInterruptedError from error
        raise
    return result


async def _cancel_and_wait(activity_task: "asyncio.Task[Any]") -> None:
    """Cancel an activity that still runs, and wait a little for a call in flight."""
    if activity_task.done():
        return
    activity_task.cancel()
    with suppress(TimeoutError):
        await workflow.wait_condition(
            activity_task.done,
            timeout=FINISH_TIMEOUT,
            timeout_summary="a call in flight",
        )
    if not activity_task.done():
        activity_task.add_done_callback(_consume_outcome)
        raise StepInterruptedError


def _consume_outcome(task: "asyncio.Task[Any]") -> None:
    """Read the outcome of an abandoned task, so that asyncio does not log it as unhandled."""
    if not task.cancelled():
        task.exception()
