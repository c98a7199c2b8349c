"""The worker as its own process: its log, its metrics and its health."""

import asyncio
import signal
from pathlib import Path
from uuid import UUID, uuid4

from temporalio.client import Client

from config import Settings
from domain.ids import stripe_operation_workflow_id
from domain.plans import PlanRequest
from domain.stripe_operations import CreatePlan
from domain.workflow_names import BILLING, QUEUES, STRIPE
from tests.support.worker_process import worker_process
from workflows.stripe_operation import StripeOperationWorkflow

PLAN = PlanRequest(
    code="seen",
    name="Seen",
    amount_cents=2_900,
    currency_code="usd",
    interval="month",
    interval_count=1,
    trial_days=0,
    features={},
    limits={},
    retry_policy="default",
)


async def make_plan(client: Client) -> UUID:
    operation_id = uuid4()
    plan = PLAN.model_copy(update={"code": f"plan-{operation_id.hex}"})
    await client.execute_workflow(
        StripeOperationWorkflow.run,
        CreatePlan(operation_id=operation_id, resource_id=uuid4(), plan=plan),
        id=stripe_operation_workflow_id(operation_id),
        task_queue=BILLING,
    )
    return operation_id


async def fail_workflow_task(client: Client) -> str:
    """Start a workflow that no worker has, and wait until its workflow task has failed."""
    handle = await client.start_workflow("NoSuchWorkflow", id=str(uuid4()), task_queue=BILLING)
    async with asyncio.timeout(100):
        while (await handle.describe()).raw_description.pending_workflow_task.attempt < 2:
            await asyncio.sleep(0.1)
    await handle.terminate()
    return handle.id


async def test_each_line_of_a_worker_is_json_and_starts_and_ends_are_told_once(
    dev_server: Client, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(dev_server, settings, tmp_path) as worker:
        operation_id = await make_plan(dev_server)
        await fail_workflow_task(dev_server)
        await worker.stop()
    lines = worker.lines()

    from_sdk = [line for line in lines if line["logger"] == "temporal_sdk"]
    assert [line["event"] for line in from_sdk if "NoSuchWorkflow" in str(line["sdk_fields"])]
    assert all(line["sdk_target"].startswith("temporalio") for line in from_sdk)
    assert all({"timestamp", "level", "event", "logger"} <= line.keys() for line in lines)

    [started] = [line for line in lines if line["event"] == "stripe_operation_started"]
    [ended] = [line for line in lines if line["event"] == "stripe_operation_ended"]
    for line in (started, ended):
        assert line["operation_id"] == str(operation_id)
        assert line["workflow_id"] == stripe_operation_workflow_id(operation_id)
        assert (line["operation"], line["task_type"]) == ("create_plan", "StripeOperationWorkflow")
    assert ended["status"] == "completed"
    assert ended["duration_seconds"] > 0

    requests = [line for line in lines if line["event"] == "stripe_request"]
    posts = {line["operation"]: line for line in requests if line["operation"].startswith("POST")}
    assert set(posts) == {"POST /v1/products", "POST /v1/prices"}
    for line in posts.values():
        assert (line["status"], line["task_type"]) == (200, "create_plan")
        assert line["stripe_request_id"].startswith("req_")
        assert line["duration_ms"] > 0


async def test_a_worker_exports_its_own_metrics_and_those_of_the_sdk(
    dev_server: Client, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(dev_server, settings, tmp_path) as worker:
        await make_plan(dev_server)
        text = (await worker.get("/metrics")).text
    assert "# TYPE temporal_workflow_task_execution_latency_seconds histogram" in text
    assert 'temporal_workflow_completed_total{namespace="default"' in text
    assert "# HELP payment_attempts_total" in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))


async def test_a_frozen_worker_and_one_without_temporal_or_database_are_told(
    dev_server: Client, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(dev_server, settings, tmp_path, "--queue", STRIPE) as worker:
        body = (await worker.get("/health/ready")).json()
        assert body["status"] == "ready"
        assert set(body["checks"]) == {"database", "temporal", "task_queues", "workflow_threads"}
        assert all(check["status"] == "ok" for check in body["checks"].values())
        assert (await worker.get("/health/live")).json() == {"status": "ok"}
        worker.process.send_signal(signal.SIGSTOP)
        worker.process.send_signal(signal.SIGCONT)
        await worker.wait_until(200)


def test_every_queue_is_known() -> None:
    assert len(QUEUES) == 5
