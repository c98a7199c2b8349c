"""Counts the pollers of each task queue, and the workflows whose workflow tasks fail."""

import asyncio
from contextlib import suppress
from math import nan

from temporalio.client import Client
from temporalio.service import RPCError

from adapters.temporal.failing_tasks import count_failing_workflows
from adapters.temporal.task_queues import TaskKind, read_pollers
from domain.workflow_names import QUEUES, WORKFLOW_QUEUES
from observability.metrics import FAILING_WORKFLOWS, TASK_QUEUE_POLLERS

TIMEOUT_SECONDS = 2.0
_NO_ANSWER = (RPCError, RuntimeError, TimeoutError)
WORKFLOW_TASK_FAILED = "workflow_task_failed"


async def count_workers(temporal: Client) -> None:
    """Set the metrics about workers; NaN where Temporal does not answer in time."""
    await asyncio.gather(_count_pollers(temporal), _count_failing_workflows(temporal))


async def _count_pollers(temporal: Client) -> None:
    counts = dict.fromkeys([(queue, TaskKind.ACTIVITY) for queue in QUEUES], nan)
    counts |= dict.fromkeys([(queue, TaskKind.WORKFLOW) for queue in WORKFLOW_QUEUES], nan)
    with suppress(*_NO_ANSWER):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for found in await read_pollers(temporal):
                polling = [poller for poller in found.pollers if poller.is_polling()]
                counts[found.task_queue, found.kind] = len(polling)
    for (queue, kind), count in counts.items():
        TASK_QUEUE_POLLERS.labels(queue, kind).set(count)


async def _count_failing_workflows(temporal: Client) -> None:
    count: float = nan
    with suppress(*_NO_ANSWER):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            count = await count_failing_workflows(temporal)
    FAILING_WORKFLOWS.labels(WORKFLOW_TASK_FAILED).set(count)
