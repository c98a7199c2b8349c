"""What a dead worker was executing is retried at once; what others execute is left alone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

with workflow.unsafe.imports_passed_through():
    from adapters.temporal.interrupted_work import WORKER_DIED, retry_interrupted_activities
    from tests.support.small_workers import serving

DEAD_PID, OTHER_PID = 999_999_991, 999_999_992


class Calls:
    """Never ends its first attempt, and tells when it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    @activity.defn
    async def call(self) -> int:
        self.begun.set()
        if activity.info().attempt == 1:
            await asyncio.sleep(600)
        return activity.info().attempt


@workflow.defn
class Calling:
    """Executes one call, whose heartbeats are missed only after ten minutes."""

    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity_method(
            Calls.call,
            start_to_close_timeout=timedelta(minutes=20),
            heartbeat_timeout=timedelta(minutes=10),
        )


@asynccontextmanager
async def called(client: Client, pid: int) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    """Let a worker with the identity of a process begin a call."""
    identity = f"{pid}@{socket.gethostname()}"
    theirs = await Client.connect(
        client.service_client.config.target_host,
        namespace=client.namespace,
        identity=identity,
        data_converter=pydantic_data_converter,
    )
    calls = Calls()
    async with serving(theirs, Calling, calls.call) as queue, asyncio.timeout(120):
        handle = await client.start_workflow("Calling", id=queue, task_queue=queue)
        await calls.begun.wait()
        yield handle


async def test_a_call_of_a_dead_process_is_retried_at_once(dev_server: Client) -> None:
    async with called(dev_server, DEAD_PID) as handle:
        assert await retry_interrupted_activities(dev_server, handle.id, OTHER_PID) == 0
        assert await retry_interrupted_activities(dev_server, handle.id, DEAD_PID) == 1
        assert await handle.result() == 2
        history = await handle.fetch_history()
    failures = [
        event.activity_task_started_event_attributes.last_failure
        for event in history.events
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert [each.application_failure_info.type for each in failures] == [WORKER_DIED]


async def test_a_workflow_that_is_gone_has_nothing_to_retry(dev_server: Client) -> None:
    assert await retry_interrupted_activities(dev_server, uuid4().hex, DEAD_PID) == 0
