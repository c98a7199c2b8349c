"""Reads from Temporal which workers poll our task queues."""

import asyncio
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.workflow_names import QUEUES, WORKFLOW_QUEUES

# Reason: an idle worker polls at least once a minute; the server lists a poller for 5 minutes.
FRESH = timedelta(minutes=2)
CALL_TIMEOUT = timedelta(seconds=5)
_PAGE_SIZE = 1_000
_SHUTTING_DOWN = WorkerStatus.WORKER_STATUS_SHUTTING_DOWN
# Servers that keep no list of workers answer so, or do not show it to this key.
_NOT_OFFERED = frozenset(
    {
        RPCStatusCode.UNIMPLEMENTED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.PERMISSION_DENIED,
    }
)


class TaskKind(StrEnum):
    """The kind of task that a poller takes."""

    WORKFLOW = "workflow"
    ACTIVITY = "activity"


_TYPES = {
    TaskKind.WORKFLOW: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    TaskKind.ACTIVITY: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class Poller(NamedTuple):
    """A worker process that polled a task queue in the last minutes."""

    identity: str
    polled_at: datetime

    def is_polling(self, fresh: timedelta = FRESH) -> bool:
        """Return whether the worker still polls: it runs, and is not frozen."""
        return datetime.now(UTC) - self.polled_at < fresh


class QueuePollers(NamedTuple):
    """The pollers of a task queue for one kind of task."""

    task_queue: str
    kind: TaskKind
    pollers: tuple[Poller, ...]


async def read_pollers(client: Client, queues: tuple[str, ...] = QUEUES) -> list[QueuePollers]:
    """Read the pollers of task queues, of each kind of task that a queue has.

    Args:
        client: Client of Temporal.
        queues: Task queues to look at.

    Raises:
        RPCError: Temporal cannot be reached.
    """
    kinds = [(queue, TaskKind.ACTIVITY) for queue in queues]
    kinds += [(queue, TaskKind.WORKFLOW) for queue in queues if queue in WORKFLOW_QUEUES]
    stopped = await _stopped_workers(client)
    return list(await asyncio.gather(*[_read(client, *each, stopped) for each in kinds]))


async def _stopped_workers(client: Client) -> set[tuple[str, str]]:
    """Return the task queues and identities of workers that have stopped as they should."""
    request = ListWorkersRequest(namespace=client.namespace, page_size=_PAGE_SIZE)
    try:
        listed = await client.workflow_service.list_workers(request, timeout=CALL_TIMEOUT)
    except RPCError as error:
        if error.status not in _NOT_OFFERED:
            raise
        return set()
    states: dict[tuple[str, str], set[int]] = {}
    for worker in listed.workers:
        states.setdefault((worker.task_queue, worker.worker_identity), set()).add(worker.status)
    return {worker for worker, seen in states.items() if seen == {_SHUTTING_DOWN}}


async def _read(
    client: Client, queue: str, kind: TaskKind, stopped: set[tuple[str, str]]
) -> QueuePollers:
    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=_TYPES[kind],
        ),
        timeout=CALL_TIMEOUT,
    )
    pollers = [
        Poller(poller.identity, poller.last_access_time.ToDatetime(tzinfo=UTC))
        for poller in described.pollers
        # Reason: the server lists a poller for some minutes after it has stopped.
        if (queue, poller.identity) not in stopped
    ]
    return QueuePollers(queue, kind, tuple(pollers))
