"""Reads from Temporal which workers poll our task queues."""

import asyncio
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from domain.workflow_names import QUEUES, WORKFLOW_QUEUES

# Reason: an idle worker polls at least once a minute; the server lists a poller for 5 minutes.
FRESH = timedelta(minutes=2)
CALL_TIMEOUT = timedelta(seconds=5)


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
    wanted = [(queue, TaskKind.ACTIVITY) for queue in queues]
    wanted += [(queue, TaskKind.WORKFLOW) for queue in queues if queue in WORKFLOW_QUEUES]
    return list(await asyncio.gather(*[_read(client, *each) for each in wanted]))


async def _read(client: Client, queue: str, kind: TaskKind) -> QueuePollers:
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
    ]
    return QueuePollers(queue, kind, tuple(pollers))
