"""Runs a worker for one workflow and one activity that a test defines."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Worker

from activities.interceptors import ActivityInterceptor
from bootstrap.workers import workflow_runner


@asynccontextmanager
async def serving(
    client: Client, workflow: type, activity: Callable[..., Any]
) -> AsyncIterator[str]:
    """Serve a task queue of its own, in the workflow sandbox, and yield its name."""
    queue = f"small-{uuid4().hex[:8]}"
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[workflow],
        activities=[activity],
        interceptors=[ActivityInterceptor()],
        workflow_runner=workflow_runner(is_sandboxed=True),
    )
    async with worker:
        yield queue
