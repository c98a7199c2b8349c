"""The log lines of the starts and ends of workflows, with a worker that replays at each step."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from config import Settings
from domain.agents.runs import RunStatus
from domain.subscriptions.lifecycle import CommandKind
from tests.api.support import add_user
from tests.support.world import World
from tests.unit.agents.support import Model, ended, open_model, reach, start_run
from tests.workflows.payment_retries.test_payment_retry import fail_renewal
from workflows.start_end_log import StartEndLog

PAUSE = timedelta(milliseconds=600)


@workflow.defn(name="LoggedWorkflow", sandboxed=False)
class Logged:
    """Waits, continues as new as often as it is told to, and ends in one of three ways."""

    def __init__(self) -> None:
        self._end = ""

    @workflow.run
    async def run(self, end: str, again_count: int) -> None:
        for _ in range(2):
            await workflow.sleep(PAUSE / 2)
        if again_count:
            workflow.continue_as_new(args=[end, again_count - 1])
        self._end = end
        if end == "failed":
            raise ApplicationError("refused", type="limit_reached")
        await workflow.wait_condition(lambda: end == "completed")

    def log_fields(self) -> Mapping[str, Any]:
        return {"seen": self._end or None}


@pytest.fixture(autouse=True)
def _as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the ids out of the messages, as `configure_logging` does."""
    monkeypatch.setattr(workflow.logger, "workflow_info_on_message", False)


async def records_of(
    client: Client, caplog: pytest.LogCaptureFixture, end: str, again_count: int
) -> list[logging.LogRecord]:
    queue = str(uuid4())
    caplog.set_level(logging.INFO)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Logged],
        interceptors=[StartEndLog()],
        # Reason: nothing is kept, so each workflow task replays the whole history.
        max_cached_workflows=0,
    ):
        handle = await client.start_workflow(
            Logged.run, args=[end, again_count], id=queue, task_queue=queue
        )
        if end == "canceled":
            await handle.cancel()
        try:
            await handle.result()
        except WorkflowFailureError:
            assert end != "completed"
    return [each for each in caplog.records if each.message.startswith("LoggedWorkflow_")]


@pytest.mark.parametrize("end", ["completed", "failed", "canceled"])
async def test_a_start_and_an_end_are_told_once_however_often_they_are_replayed(
    dev_server: Client, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    first, last = await records_of(dev_server, caplog, end, 0)
    assert (first.message, last.message) == ("LoggedWorkflow_started", "LoggedWorkflow_ended")
    facts = vars(last)
    assert (facts["status"], facts.get("reason")) == (
        (end, "limit_reached") if end == "failed" else (end, None)
    )
    assert facts["resource_id"] == facts["temporal_workflow"]["workflow_id"]
    assert facts["duration_seconds"] >= (0 if end == "canceled" else PAUSE.total_seconds())
    assert facts.get("seen") == (None if end == "canceled" else end)


async def test_continuing_as_new_is_neither_a_start_nor_an_end(
    dev_server: Client, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = await records_of(dev_server, caplog, "completed", 2)
    assert (first.message, last.message) == ("LoggedWorkflow_started", "LoggedWorkflow_ended")
    duration = vars(last)["duration_seconds"]
    assert duration >= 3 * PAUSE.total_seconds()


def facts_of(caplog: pytest.LogCaptureFixture, event: str, **ids: object) -> dict[str, Any]:
    """Return the fields of the only line of an event with these ids."""
    wanted = {name: str(value) for name, value in ids.items()}
    [line] = [
        vars(each)
        for each in caplog.records
        if each.message == event and wanted.items() <= vars(each).items()
    ]
    return line


async def test_lines_of_billing_name_what_they_are_about(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    await world.step(timedelta(days=2))
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()

    subscription = {"subscription_id": customer.subscription_id}
    facts_of(caplog, "subscription_started", **subscription)
    assert facts_of(caplog, "subscription_ended", **subscription)["status"] == "canceled"
    ids = {"payment_retry_id": retry.payment_retry_id, "user_id": customer.user_id, **subscription}
    facts_of(caplog, "payment_retry_started", **ids)
    facts = facts_of(caplog, "payment_retry_ended", **ids)
    assert (facts["status"], facts["attempt_count"]) == ("recovered", 1)
    assert facts["stripe_invoice_id"] == retry.stripe_invoice_id
    assert facts["duration_seconds"] >= timedelta(days=1).total_seconds()


async def test_lines_of_a_run_name_its_agent_and_why_it_ended(
    world: World, settings: Settings, chroma_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    customer, mark = await world.subscribe("ok"), f"hello {uuid4().hex}"
    async with open_model(settings) as http:
        await Model(http).script({"text": "Hello."}, match=mark)
        handle = await start_run(world.env.client, customer.user_id, mark)
        row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
        await ended(handle)
        refused = await start_run(world.env.client, await add_user(world.sessions), mark)
        # Reason: to wait for a result lets the test server pass time, for all that runs there.
        with world.env.auto_time_skipping_disabled(), pytest.raises(WorkflowFailureError):
            await refused.result()
    run = {"agent_run_id": row.agent_run_id, "user_id": customer.user_id, "agent": "research"}
    facts_of(caplog, "agent_run_started", **run)
    assert facts_of(caplog, "agent_run_ended", **run)["status"] == "completed"
    lines = [vars(each) for each in caplog.records if each.message == "agent_run_ended"]
    assert [each["reason"] for each in lines if each["status"] == "failed"] == [
        "entitlement_required"
    ]
