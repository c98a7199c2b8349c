"""Starts workflows and sends updates, with time limits and our own errors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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

from adapters.temporal.errors import LATE, UPDATE_NOT_ANSWERED, from_temporal, is_connect_failure
from domain.errors import OutcomePendingError
from domain.workflow_names import BILLING

CALL_TIMEOUT = timedelta(seconds=5)
CANCEL_TIMEOUT = timedelta(seconds=20)
_BUSY = "busy"
_PAUSE_SECONDS = 0.1
# The workflow ended or continued as new during the update: its next run answers.
_RETRYABLE_TYPES = frozenset({UPDATE_NOT_ANSWERED, _BUSY})
_RETRYABLE_STATUSES = frozenset({RPCStatusCode.ABORTED, RPCStatusCode.NOT_FOUND})
PENDING = "the command is still running; repeat it with the same key for its answer"

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


async def start_workflow_once(
    temporal: Client,
    run: Callable[..., Awaitable[Any]],
    argument: Any,
    *,
    workflow_id: str,
    summary: str,
    search_attributes: TypedSearchAttributes,
    task_queue: str | None = None,
) -> None:
    """Start a workflow at most once; a workflow that was started before counts as success.

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


async def restart_workflow(
    temporal: Client,
    run: Callable[..., Awaitable[Any]],
    argument: Any,
    *,
    workflow_id: str,
    search_attributes: TypedSearchAttributes,
) -> None:
    """Restart a billing workflow that was terminated; leave a running one as it is.

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
            static_summary="restarted by a command",
            rpc_timeout=CALL_TIMEOUT,
        )


@contextmanager
def naming_pending(**ids: UUID | str) -> Iterator[None]:
    """Add the ids of what goes on to an `outcome_pending` that is raised inside.

    Raises:
        OutcomePendingError: There is no answer in time; `details` has the ids.
    """
    try:
        yield
    except OutcomePendingError as error:
        error.details |= {name: str(value) for name, value in ids.items()}
        raise


@contextmanager
def _starting() -> Iterator[None]:
    """Ignore that a workflow has started already, and raise our own errors."""
    try:
        yield
    except WorkflowAlreadyStartedError:
        return
    except RPCError as error:
        # Reason: some servers answer this when the earlier run has ended.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise from_temporal(error) from error
    except RuntimeError as error:
        if not is_connect_failure(error):
            raise
        raise from_temporal(error) from error


async def raise_workflow_failure(temporal: Client, workflow_id: str) -> None:
    """Raise the error of a workflow, if the workflow has failed.

    Raises:
        ApplicationError: The workflow has failed with this error, or Temporal cannot be reached.
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
    update: str | UpdateMethodMultiParam[[Any, Argument], Answer],
    argument: Argument,
    command_id: UUID,
    within: timedelta = CALL_TIMEOUT,
    answer_type: type[Answer] | None = None,
) -> Answer:
    """Send a command to a workflow, and wait for its answer.

    A workflow that is about to continue as new is busy: the command is sent again to its next run.

    Args:
        handle: Handle of the workflow.
        update: Name or method of the update.
        argument: Argument of the update.
        command_id: Id of the command, the same for a repeated command.
        within: Time limit for the answer.
        answer_type: Type of the answer; needed if `update` is a name.

    Raises:
        WorkflowEndedError: The workflow does not exist or has ended.
        OutcomePendingError: There is no answer in time; the command goes on.
        ApplicationError: The command was refused, or Temporal cannot be reached.
    """
    deadline = asyncio.get_running_loop().time() + within.total_seconds()
    while True:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise OutcomePendingError(PENDING)
        try:
            name: Any = update  # Reason: the SDK's overloads take a name or a method, never both.
            answer: Answer = await handle.execute_update(
                name,
                argument,
                id=str(command_id),
                result_type=answer_type,
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
    """Send an update to a workflow, start the workflow if needed, and wait for the answer.

    Args:
        client: Client of Temporal.
        update: Name or method of the update.
        argument: Argument of the update.
        command_id: Id of the command, the same for a repeated command.
        make_start: Makes the start operation, which the SDK can use for one attempt only.
        answer_type: Type of the answer; needed if `update` is a name.
        within: Time limit for the answer.

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
                    if not _is_retryable(error):
                        raise
                else:
                    return answer
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError as error:
        raise OutcomePendingError(PENDING) from error
    except TemporalError as error:
        is_late = isinstance(error, RPCError) and error.status in LATE
        raise (OutcomePendingError(PENDING) if is_late else from_temporal(error)) from error


async def _consume(start: WithStartWorkflowOperation[Any, Any]) -> None:
    # Reason: the SDK keeps a failed start in a future too, which warns if it is never read. A
    # cancellation of our own wait must still get through.
    await asyncio.gather(start.workflow_handle(), return_exceptions=True)


def _is_retryable(error: TemporalError) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        cause = error.cause
        return isinstance(cause, TemporalApplicationError) and cause.type in _RETRYABLE_TYPES
    return isinstance(error, RPCError) and error.status in _RETRYABLE_STATUSES
