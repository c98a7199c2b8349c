"""Wait for activities without losing a cancellation, and without holding up who is more urgent."""

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

# How long a POST in flight may go on before whoever is more urgent gets their turn.
FINISH_TIMEOUT = timedelta(seconds=15)


async def await_cancellable(asked: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for something; whoever is canceled meanwhile is canceled, however that ends.

    Args:
        asked: An activity or a condition. It is told of the cancel, and its end is waited for.

    Returns:
        What it answers.

    Raises:
        CancelledError: We were canceled.
        ActivityError: The activity failed.
        TimeoutError: The condition did not come about in time.
    """
    task = asyncio.ensure_future(asked)
    try:
        # Reason: the SDK hands a cancel on to the activity, and Python 3.11's `wait_for` to the
        # condition. If that was just ending, both forget the cancel, and the run would go on.
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with suppress(asyncio.CancelledError, FailureError, TimeoutError):
            await task
        raise


class StepInterruptedError(Exception):
    """Somebody more urgent has come; whether the activity had any effect is not known."""


async def run_interruptible(
    step: Callable[[Any, Argument], Coroutine[Any, Any, Answer]],
    argument: Argument,
    options: ActivityOptions,
    summary: str,
    is_interrupted: Callable[[], bool],
) -> Answer:
    """Run an activity, and call it off as soon as somebody more urgent comes.

    A read ends at once, a try that waits for the next one too; a POST in flight comes to its end.

    Args:
        step: The activity.
        argument: Its argument.
        options: How long it may take, and how it is tried again.
        summary: For the Web UI.
        is_interrupted: Whether somebody more urgent has come.

    Returns:
        What it answers, also if it did so while it was called off.

    Raises:
        StepInterruptedError: It was called off.
        ActivityError: It failed.
    """
    running = workflow.start_activity_method(
        step,
        argument,
        **options,
        summary=summary,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    try:
        await workflow.wait_condition(lambda: running.done() or is_interrupted())
    except asyncio.CancelledError:
        # Reason: whoever cancels a workflow must not leave moved money without its record.
        with suppress(asyncio.CancelledError, FailureError):
            await running
        raise
    await _call_off(running)
    try:
        answer: Answer = await running
    except asyncio.CancelledError as error:
        raise StepInterruptedError from error
    except ActivityError as error:
        if isinstance(error.cause, CancelledError):
            raise StepInterruptedError from error
        raise
    return answer


async def _call_off(running: "asyncio.Task[Any]") -> None:
    """Cancel what still runs, and wait a little for a call in flight."""
    if running.done():
        return
    running.cancel()
    with suppress(TimeoutError):
        await workflow.wait_condition(
            running.done,
            timeout=FINISH_TIMEOUT,
            timeout_summary="a call in flight",
        )
    if not running.done():
        running.add_done_callback(_forget)
        raise StepInterruptedError


def _forget(task: "asyncio.Task[Any]") -> None:
    """Take an outcome that nobody waits for any more, or asyncio would complain of it."""
    if not task.cancelled():
        task.exception()
