"""Open executions are replayed before a deploy, and those that differ are named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from bootstrap.workers import workflow_runner
from commands.replay.running import replay_running, replay_running_command
from domain.ids import payment_workflow_id
from domain.payments.messages import PaymentStart
from tests.api.support import eventually
from tests.conftest import free_port
from workflows.payments.payment import PaymentWorkflow
from workflows.registry import WORKFLOWS


@workflow.defn(name="PaymentWorkflow", sandboxed=False)
class EarlierPayment:
    """The workflow of an earlier release, whose first command was another one."""

    @workflow.run
    async def run(self, start: PaymentStart) -> None:
        await workflow.sleep(86_400)


@workflow.defn(sandboxed=False)
class OthersWorkflow:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(86_400)


@asynccontextmanager
async def workers(client: Client) -> AsyncIterator[None]:
    """Run workers of the current release, of an earlier one and of somebody else.

    They have no activities, so that all executions stay open at their first step.
    """
    today = Worker(
        client,
        task_queue="today",
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(is_sandboxed=True),
    )
    earlier = Worker(client, task_queue="earlier", workflows=[EarlierPayment, OthersWorkflow])
    async with today, earlier:
        yield


async def start_payment(client: Client, queue: str) -> WorkflowHandle[PaymentWorkflow, Any]:
    """Start a payment, and wait until its first step is in the history."""
    payment_id = uuid4()
    handle: WorkflowHandle[PaymentWorkflow, Any] = await client.start_workflow(
        PaymentWorkflow.run,
        PaymentStart(payment_id=payment_id),
        id=payment_workflow_id(payment_id),
        task_queue=queue,
    )
    await wait_for_step(handle)
    return handle


async def wait_for_step(handle: WorkflowHandle[Any, Any]) -> None:
    async def has_step() -> bool:
        return (await handle.describe()).history_length >= 5

    await eventually(has_step)


async def listed(client: Client, count: int) -> None:
    """Wait until Temporal lists all open executions."""

    async def are_listed() -> bool:
        return (await client.count_workflows("ExecutionStatus = 'Running'")).count == count

    await eventually(are_listed)


async def test_open_executions_that_differ_are_named(
    namespace: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    host = namespace.service_client.config.target_host
    environ = {"TEMPORAL__ADDRESS": host, "TEMPORAL__NAMESPACE": namespace.namespace}
    async with workers(namespace):
        for _ in range(3):
            await start_payment(namespace, "today")
        others = await namespace.start_workflow("OthersWorkflow", id="theirs", task_queue="earlier")
        await wait_for_step(others)
        await listed(namespace, 4)
        assert await replay_running_command(None, environ) == 0
        assert "the current code replays all open executions: 3" in capsys.readouterr().out

        stuck = await start_payment(namespace, "earlier")
        await listed(namespace, 5)
    said = list[str]()
    result = await replay_running(namespace, said.append, page_size=2)
    assert said == ["open executions: 4"]
    assert result.execution_count == 4
    (failure,) = result.failures
    assert (failure.workflow_id, failure.run_id) == (stuck.id, stuck.result_run_id)

    assert await replay_running_command(None, environ) == 1
    told = capsys.readouterr().out
    assert f"{stuck.id}, run {stuck.result_run_id}:" in told
    assert "first difference: event 5 of 5" in told
    assert "the history has: timer started" in told
    assert "1 of 4 open executions differ from the current code" in told


async def test_without_temporal_one_line_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"TEMPORAL__ADDRESS": f"127.0.0.1:{free_port()}"}
    assert await replay_running_command(None, environ) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: Temporal cannot be reached")
    assert told.count("\n") == 1
