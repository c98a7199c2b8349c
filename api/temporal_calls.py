"""The calls that routes make to Temporal, bounded in time and with our own errors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import (
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from api.errors import from_temporal, is_connect_failure
from domain.errors import OutcomePendingError
from domain.ids import errand_workflow_id
from domain.stripe_operations import ErrandResult, StripeErrand
from domain.workflow_names import BILLING
from workflows.search_attributes import starting_attributes
from workflows.stripe_operation import StripeErrandWorkflow

CALL_TIMEOUT = timedelta(seconds=5)
CANCEL_TIMEOUT = timedelta(seconds=20)
_BUSY = "busy"
_BUSY_PAUSE_SECONDS = 0.1
_PENDING = "this takes longer than usual and goes on; the same key gets its answer"

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
        ApplicationError: Temporal is not to be reached.
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
        ApplicationError: Temporal is not to be reached.
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


async def run_errand(temporal: Client, errand: StripeErrand, summary: str) -> ErrandResult:
    """Have one of Stripe's small jobs done, and wait for it.

    Raises:
        OutcomePendingError: It takes longer than 5 s; it goes on.
        ApplicationError: Stripe refused it, or something is down.
    """
    workflow_id = errand_workflow_id(errand.errand_id)
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            await start_once(
                temporal,
                StripeErrandWorkflow.run,
                errand,
                workflow_id=workflow_id,
                summary=summary,
                search_attributes=starting_attributes(user_id=errand.user_id),
            )
            handle = temporal.get_workflow_handle_for(StripeErrandWorkflow.run, workflow_id)
            return await handle.result(rpc_timeout=CALL_TIMEOUT)
    except TimeoutError as error:
        raise OutcomePendingError(_PENDING) from error
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
        ApplicationError: The command was refused, or Temporal is not to be reached.
    """
    deadline = asyncio.get_running_loop().time() + within.total_seconds()
    while True:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise OutcomePendingError(_PENDING)
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
            await asyncio.sleep(_BUSY_PAUSE_SECONDS)
        except RuntimeError as error:
            if not is_connect_failure(error):
                raise
            raise from_temporal(error) from error
        else:
            return answer
