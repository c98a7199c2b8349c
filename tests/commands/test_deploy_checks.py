"""The signs of a bad deploy, on a Temporal server of its own: seen by `doctor` and by metrics."""

import asyncio
import math
import signal
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from adapters.temporal.search_attributes import register
from api.monitoring import make_pages
from commands.doctor.deploy import check_task_queues, check_workers, check_workflow_tasks
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from config import Settings
from database.session import Sessions
from domain.workflow_names import QUEUES
from tests.conftest import BIN, REPORT_PROBLEMS
from tests.support.worker_process import worker_process
from workflows.search_attributes import NAMES

QUEUE = "deployed"


@workflow.defn(name="DeployedWorkflow", sandboxed=False)
class Before:
    """The code that a workflow began with."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3_600)

    @workflow.signal
    def wake(self) -> None: ...


@workflow.defn(name="DeployedWorkflow", sandboxed=False)
class After:
    """Code that does not replay what the workflow did."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def wake(self) -> None: ...


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    """Start a Temporal server that no worker of another test polls."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_extra_args=["--dynamic-config-value", REPORT_PROBLEMS],
        dev_server_log_level="error",
    ) as env:
        await register(env.client, NAMES)
        yield env.client


@pytest.fixture
def reaching(settings: Settings, temporal: Client) -> Settings:
    address = temporal.service_client.config.target_host
    changed = settings.temporal.model_copy(update={"address": address})
    return settings.model_copy(update={"temporal": changed})


async def metrics(sessions: Sessions, temporal: Client, name: str) -> dict[str, float]:
    """Return the values of a metric, by its labels."""
    page = await make_pages(sessions, temporal)["/metrics"]()
    lines = [line for line in page.body.decode().splitlines() if line.startswith(f"{name}{{")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_queues_without_pollers_and_frozen_workers_are_named(
    temporal: Client,
    reaching: Settings,
    sessions: Sessions,
    tmp_path: Path,
) -> None:
    with pytest.raises(CheckFailedError) as nobody:
        await check_task_queues(reaching)
    assert all(f"{queue} (activity tasks)" in str(nobody.value) for queue in QUEUES)
    assert "start a worker" in str(nobody.value)
    pollers = await metrics(sessions, temporal, "task_queue_pollers")
    assert len(pollers) == 7
    assert set(pollers.values()) == {0}

    async with worker_process(temporal, reaching, tmp_path) as worker:
        facts = {"worker": worker.url}
        assert await check_task_queues(reaching) == "5, each polled by a worker"
        assert await check_workers(reaching, facts) == "1 polling"
        assert set((await metrics(sessions, temporal, "task_queue_pollers")).values()) == {1}

        worker.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1)
        with pytest.raises(CheckFailedError, match=rf"{worker.url} does not answer: restart"):
            await check_workers(reaching, facts)
        identity = f"{worker.process.pid}@{socket.gethostname()}"
        with pytest.raises(CheckFailedError, match=f"{identity} stopped polling without"):
            await check_workers(reaching, fresh=timedelta(seconds=1))
        worker.process.send_signal(signal.SIGCONT)
        await worker.stop()

    with pytest.raises(CheckFailedError) as stopped:
        await check_task_queues(reaching)
    assert str(stopped.value) == str(nobody.value)
    with pytest.raises(CheckDoubtfulError, match="none is polling"):
        await check_workers(reaching)


async def test_workflows_that_new_code_does_not_replay_are_named(
    temporal: Client, reaching: Settings, sessions: Sessions
) -> None:
    assert await check_workflow_tasks(reaching) == "none fails"
    assert set((await metrics(sessions, temporal, "failing_workflows")).values()) == {0}
    workflow_id = f"deployed-{uuid4()}"
    async with Worker(temporal, task_queue=QUEUE, workflows=[Before]):
        handle = await temporal.start_workflow(Before.run, id=workflow_id, task_queue=QUEUE)
        await handle.signal(Before.wake)
        await asyncio.sleep(1)
    async with Worker(temporal, task_queue=QUEUE, workflows=[After]):
        await handle.signal("wake")
        async with asyncio.timeout(100):
            while await check_quietly(reaching) == "none fails":  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    told = await check_quietly(reaching)
    assert told.startswith("they fail in 1 workflows, such as ")
    assert f"{workflow_id} (NonDeterministicError)" in told
    assert set((await metrics(sessions, temporal, "failing_workflows")).values()) == {1}
    await handle.terminate()


async def check_quietly(settings: Settings) -> str:
    try:
        return await check_workflow_tasks(settings)
    except CheckFailedError as error:
        return str(error)


async def test_metrics_without_temporal_are_not_numbers(sessions: Sessions) -> None:
    nowhere = await Client.connect("127.0.0.1:1", lazy=True)
    async with asyncio.timeout(4):
        values = (await metrics(sessions, nowhere, "task_queue_pollers")).values()
    assert all(math.isnan(value) for value in values)
