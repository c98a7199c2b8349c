"""Retries at once what a dead worker was executing, before its missed heartbeats reveal it."""

import socket
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

WORKER_DIED = "worker_died"
RPC_TIMEOUT = timedelta(seconds=5)
_AT_ONCE = timedelta(milliseconds=1)
_STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


async def retry_interrupted_activities(client: Client, workflow_id: str, dead_pid: int) -> int:
    """Fail, so that they are retried, the activities of a workflow that a dead process executed.

    The workflow's next task also goes to any worker, instead of waiting for the dead one.

    Args:
        client: Temporal client.
        workflow_id: Id of the workflow.
        dead_pid: Process of this machine that is known to have ended.

    Returns:
        Number of activities that were failed.

    Raises:
        RPCError: Temporal cannot be reached.
    """
    try:
        description = await client.get_workflow_handle(workflow_id).describe(
            rpc_timeout=RPC_TIMEOUT
        )
        await _forget_sticky_queue(client, workflow_id)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return 0
    # Reason: this is the identity that the SDK gives a client that names none.
    identity = f"{dead_pid}@{socket.gethostname()}"
    pending = description.raw_description.pending_activities
    interrupted = [
        activity.activity_id
        for activity in pending
        if activity.state == _STARTED and activity.last_worker_identity == identity
    ]
    run_id = description.run_id
    return sum([await _fail(client, workflow_id, run_id, each) for each in interrupted])


async def _forget_sticky_queue(client: Client, workflow_id: str) -> None:
    request = ResetStickyTaskQueueRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    await client.workflow_service.reset_sticky_task_queue(request, timeout=RPC_TIMEOUT)


async def _fail(client: Client, workflow_id: str, run_id: str, activity_id: str) -> bool:
    handle = client.get_async_activity_handle(
        workflow_id=workflow_id, run_id=run_id, activity_id=activity_id
    )
    failure = ApplicationError(
        "the worker that executed this step died", type=WORKER_DIED, next_retry_delay=_AT_ONCE
    )
    try:
        await handle.fail(failure, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        # Reason: its heartbeat may have been missed meanwhile, or its result may have arrived.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
