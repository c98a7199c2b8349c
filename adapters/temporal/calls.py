"""Calls Temporal: starts workflows once and sends updates, bounded in time, with our own errors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from adapters.temporal.errors import ENDED_FIRST, from_temporal, is_connect_failure
from domain.errors import OutcomePendingError
from domain.workflow_names import BILLING

CALL_TIMEOUT = timedelta(seconds=5)
CANCEL_TIMEOUT = timedelta(seconds=20)
_BUSY = "busy"
_PAUSE_SECONDS = 0.1
# The workflow ended, or continues as new, just when it was asked: the next run answers.
_ASK_AGAIN = frozenset({ENDED_FIRST, _BUSY})
_NEXT_RUN = frozenset({RPCStatusCode.ABORTED, RPCStatusCode.NOT_FOUND})
_LATE = frozenset({RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED})
PENDING = "this takes longer than usual and goes on; the same key gets its answer"

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


async def start_once(
    temporal: Client,
    run: Callable[..., Awaitable[Any]],
    argument: Any,
    *,
    workflow_id: str,
    summary: str,
    search_attributes: TypedSearchAttributes,
    task_queue: str | None = None,
) -> None:
    """Start a workflow that must never start twice; having started already is success.

    Raises:
        ApplicationError: Temporal cannot be reached.
    """
    with _starting():
        await temporal.start_workflow(
            run,
            argument,
            id=workflow_id,
            task_queue=task_queue or BILLING,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=search_attributes,
            static_summary=summary,
            rpc_timeout=CALL_TIMEOUT,
        )


async def start_again(
    temporal: Client,
    run: Callable[..., Awaitable[Any]],
    argument: Any,
    *,
    workflow_id: str,
    search_attributes: TypedSearchAttributes,
) -> None:
    """Start a workflow of billing's again that was ended by force; one that runs stays.

    Raises:
        ApplicationError: Temporal cannot be reached.
    """
    with _starting():
        await temporal.start_workflow(
            run,
            argument,
            id=workflow_id,
            task_queue=BILLING,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=search_attributes,
            static_summary="started again by a command",
            rpc_timeout=CALL_TIMEOUT,
        )


@contextmanager
def _starting() -> Iterator[None]:
    """Take a workflow that has started already for success, and raise our own errors."""
    try:
        yield
    except WorkflowAlreadyStartedError:
        return
    except RPCError as error:
        # Reason: some servers say it this way when the earlier run has ended.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise from_temporal(error) from error
    except RuntimeError as error:
        if not is_connect_failure(error):
            raise
        raise from_temporal(error) from error


async def raise_failure(temporal: Client, workflow_id: str) -> None:
    """Raise what a workflow has failed with, if it has failed.

    Raises:
        ApplicationError: The workflow's own error.
    """
    handle = temporal.get_workflow_handle(workflow_id)
    try:
        described = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        if described.status is WorkflowExecutionStatus.FAILED:
            await handle.result(rpc_timeout=CALL_TIMEOUT)
    except TemporalError as error:
        raise from_temporal(error) from error


async def send_update(
    handle: WorkflowHandle[Any, Any],
    update: UpdateMethodMultiParam[[Any, Argument], Answer],
    argument: Argument,
    command_id: UUID,
    within: timedelta = CALL_TIMEOUT,
) -> Answer:
    """Send a command to a workflow, and wait for its answer.

    A mailbox that is just continuing as new is busy: the command waits for the next run.

    Raises:
        WorkflowEndedError: There is none to answer.
        OutcomePendingError: There is no answer in time; the command goes on.
        ApplicationError: The command was refused, or Temporal cannot be reached.
    """
    deadline = asyncio.get_running_loop().time() + within.total_seconds()
    while True:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise OutcomePendingError(PENDING)
        try:
            answer: Answer = await handle.execute_update(
                update,
                argument,
                id=str(command_id),
                rpc_timeout=timedelta(seconds=left),
            )
        except TemporalError as error:
            translated = from_temporal(error)
            if translated.error_code != _BUSY:
                raise translated from error
            await asyncio.sleep(_PAUSE_SECONDS)
        except RuntimeError as error:
            if not is_connect_failure(error):
                raise
            raise from_temporal(error) from error
        else:
            return answer


async def update_with_start(
    client: Client,
    update: Any,
    argument: Any,
    command_id: UUID,
    make_start: Callable[[], WithStartWorkflowOperation[Any, Any]],
    *,
    answer_type: type[Answer] | None = None,
    within: timedelta = CALL_TIMEOUT,
) -> Answer:
    """Send an update to a workflow, which is started if it does not run, and wait for its answer.

    Args:
        client: Where the workflow runs, or is to.
        update: The update's name, or its method.
        argument: What the update takes.
        command_id: The same for the same command.
        make_start: Makes the start; one operation of the SDK serves one try only.
        answer_type: What the answer is read into; needed with a name.
        within: How long to wait.

    Raises:
        OutcomePendingError: There is no answer in time; the command goes on.
        ApplicationError: The command was refused, or Temporal cannot be reached.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                start = make_start()
                try:
                    answer: Answer = await client.execute_update_with_start_workflow(
                        update,
                        argument,
                        id=str(command_id),
                        start_workflow_operation=start,
                        result_type=answer_type,
                        rpc_timeout=within,
                    )
                except TemporalError as error:
                    await _consume(start)
                    if not _should_ask_again(error):
                        raise
                else:
                    return answer
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError as error:
        raise OutcomePendingError(PENDING) from error
    except TemporalError as error:
        is_late = isinstance(error, RPCError) and error.status in _LATE
        raise (OutcomePendingError(PENDING) if is_late else from_temporal(error)) from error


async def _consume(start: WithStartWorkflowOperation[Any, Any]) -> None:
    # Reason: the SDK keeps a failed start in a future too, which complains if nobody looks.
    with suppress(TemporalError, asyncio.CancelledError):
        await start.workflow_handle()


def _should_ask_again(error: TemporalError) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        cause = error.cause
        return isinstance(cause, TemporalApplicationError) and cause.type in _ASK_AGAIN
    return isinstance(error, RPCError) and error.status in _NEXT_RUN
