"""The worker as its own process: its log, its metrics and its health."""

import asyncio
import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client

from adapters.status_server import serve_status
from bootstrap.status_pages import make_worker_pages
from bootstrap.worker_health import RunningWorkers, make_worker_probes
from bootstrap.workers import run_workers
from config import Settings, WorkerSettings
from database.session import Sessions, make_engine, make_sessions
from domain.ids import stripe_operation_workflow_id
from domain.plans import PlanRequest
from domain.stripe_operations import CreatePlan
from domain.workflow_names import AGENTS, BILLING, STRIPE
from tests.conftest import free_port
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
        while (await handle.describe()).raw_description.pending_workflow_task.attempt < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await handle.terminate()
    return handle.id


def wait_for_port(port: int) -> None:
    for _ in range(1_000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
            return


async def test_each_line_of_a_worker_is_json_and_starts_and_ends_are_told_once(
    namespace: Client, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(namespace, settings, tmp_path) as worker:
        operation_id = await make_plan(namespace)
        await fail_workflow_task(namespace)
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
    namespace: Client, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(namespace, settings, tmp_path) as worker:
        await make_plan(namespace)
        text = (await worker.get("/metrics")).text
    assert "# TYPE temporal_workflow_task_execution_latency_seconds histogram" in text
    assert f'temporal_workflow_completed_total{{namespace="{namespace.namespace}"' in text
    assert "# TYPE temporal_activity_schedule_to_start_latency_seconds histogram" in text
    assert "# TYPE temporal_worker_task_slots_available gauge" in text
    assert "# HELP payment_attempts_total" in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))


async def down(running: RunningWorkers, client: Client, sessions: Sessions) -> dict[str, Any]:
    """Return the details of the checks that fail, by name."""
    page = await make_worker_pages(make_worker_probes(client, sessions, running), None)[
        "/health/ready"
    ]()
    body = json.loads(page.body)
    found = {name: each["detail"] for name, each in body["checks"].items() if each["detail"]}
    assert (page.status, body["status"]) == ((503, "down") if found else (200, "ready"))
    return found


async def test_a_worker_is_not_ready_when_it_does_not_poll_or_its_threads_are_stuck(
    namespace: Client, settings: Settings, sessions: Sessions
) -> None:
    release, few = threading.Event(), WorkerSettings(concurrent_workflow_task_count=2)
    ours = settings.model_copy(update={"worker": few})
    async with run_workers(namespace, ours, sessions, [AGENTS, STRIPE]) as running:
        async with asyncio.timeout(100):
            while await down(running, namespace, sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        stuck = [running.threads[AGENTS].submit(release.wait) for _ in range(2)]
        found = await down(running, namespace, sessions)
        assert found == {"workflow_threads": "no answer within 2 s"}
        release.set()
        assert all(thread.result(100) for thread in stuck)
        assert await down(running, namespace, sessions) == {}

        nowhere = make_sessions(make_engine("postgresql://nobody@127.0.0.1:1/none"))
        assert set(await down(running, namespace, nowhere)) == {"database"}

        await running.workers[STRIPE].shutdown()
        found = await down(running, namespace, sessions)
        assert found == {"task_queues": "worker_not_polling: stripe"}


async def test_a_worker_whose_event_loop_is_stuck_is_neither_alive_nor_ready(
    dev_server: Client, sessions: Sessions
) -> None:
    def serve_and_block(port: int, release: threading.Event) -> None:
        async def serve() -> None:
            pages = make_worker_pages({}, None)
            async with serve_status("127.0.0.1", port, pages):
                release.wait(100)  # blocks the loop

        asyncio.run(serve())

    port, release = free_port(), threading.Event()
    thread = threading.Thread(target=serve_and_block, args=(port, release))
    thread.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        await asyncio.to_thread(wait_for_port, port)
        replies = await asyncio.gather(http.get("/health/live"), http.get("/health/ready"))
    release.set()
    await asyncio.to_thread(thread.join, 100)
    assert [reply.status_code for reply in replies] == [503, 503]
