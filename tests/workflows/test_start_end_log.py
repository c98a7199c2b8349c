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
    started, ended = await records_of(dev_server, caplog, end, 0)
    assert started.message == "LoggedWorkflow_started"
    assert ended.message == "LoggedWorkflow_ended"
    facts = vars(ended)
    assert (facts["status"], facts.get("reason")) == (
        (end, "limit_reached") if end == "failed" else (end, None)
    )
    assert facts["resource_id"] == facts["temporal_workflow"]["workflow_id"]
    assert facts["duration_seconds"] >= (0 if end == "canceled" else PAUSE.total_seconds())
    assert facts.get("seen") == (None if end == "canceled" else end)


async def test_continuing_as_new_is_neither_a_start_nor_an_end(
    dev_server: Client, caplog: pytest.LogCaptureFixture
) -> None:
    started, ended = await records_of(dev_server, caplog, "completed", 2)
    assert (started.message, ended.message) == ("LoggedWorkflow_started", "LoggedWorkflow_ended")
    duration = vars(ended)["duration_seconds"]
    assert duration >= 3 * PAUSE.total_seconds()
