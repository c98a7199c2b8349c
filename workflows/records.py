"""Executes activities that only write to our own database."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from workflows.activity_options import LOCAL_RECORD, RECORD

Given = TypeVar("Given")
Result = TypeVar("Result")


async def execute_record(
    step: Callable[[Any, Given], Awaitable[Result]],
    given: Given,
    summary: str,
    *,
    is_local: bool,
) -> Result:
    """Execute an activity that only writes to our own database, and may run twice.

    Args:
        step: Activity of the workflow's own task queue.
        given: Input of the activity.
        summary: Summary for the Web UI.
        is_local: Whether it is executed within the workflow task, which spares the way over the
            task queue. If it fails there, it is executed from the queue until an outage ends.

    Raises:
        FailureError: It failed for good: an `ActivityError`, or the activity's own error.
    """
    if is_local:
        try:
            return await workflow.execute_local_activity_method(
                step, given, **LOCAL_RECORD, summary=summary
            )
        except exceptions.FailureError as error:
            if not _may_succeed_later(error):
                raise
    return await workflow.execute_activity_method(step, given, **RECORD, summary=summary)


def _may_succeed_later(error: exceptions.FailureError) -> bool:
    # Reason: the SDK does not wrap what a local activity raises in an `ActivityError`.
    cause = error.cause if isinstance(error, exceptions.ActivityError) else error
    if isinstance(cause, exceptions.ApplicationError):
        return not cause.non_retryable
    return isinstance(cause, exceptions.TimeoutError)
