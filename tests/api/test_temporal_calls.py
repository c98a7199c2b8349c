"""Calls to Temporal: bounded in time, patient with what rotates, plain about what is gone."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from adapters.temporal.calls import _consume, send_update, start_workflow_once
from domain.errors import OutcomePendingError
from tests.api.conftest import API, Person, problem
from workflows.search_attributes import starting_attributes


# Reason: the sandbox would import this module, and with it the API.
@workflow.defn(sandboxed=False)
class Rotating:
    """Busy until it is told that it is ready; there until it is told to end."""

    def __init__(self) -> None:
        self._is_ready = False
        self._is_over = False

    @workflow.run
    async def run(self, greeting: str) -> str:
        await workflow.wait_condition(lambda: self._is_over and workflow.all_handlers_finished())
        return greeting

    @workflow.signal
    def be_ready(self) -> None:
        self._is_ready = True

    @workflow.signal
    def end(self) -> None:
        self._is_over = True

    @workflow.update
    async def ask(self, question: str) -> str:
        return f"yes: {question}"

    @ask.validator
    def _may_ask(self, question: str) -> None:
        if not self._is_ready:
            raise ApplicationError("rotating, try again", type="busy")


async def test_a_time_limit_ends_the_wait_for_a_start() -> None:
    """The time limit of a command is not swallowed with the errors of a failed start."""
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "Rotating",
        id="never-started",
        task_queue="none",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _consume(start)


async def started(client: Client, workflow_id: str) -> WorkflowHandle[Any, Any]:
    await start_workflow_once(
        client,
        Rotating.run,
        "hello",
        workflow_id=workflow_id,
        summary="a workflow of the tests",
        search_attributes=starting_attributes(user_id=uuid4()),
    )
    return client.get_workflow_handle_for(Rotating.run, workflow_id)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"rotating-{uuid4().hex[:8]}"
    monkeypatch.setattr("adapters.temporal.calls.BILLING", name)
    return name


async def test_a_busy_mailbox_is_asked_again(dev_server: Client, queue: str) -> None:
    workflow_id = f"rotating-{uuid4()}"
    async with Worker(dev_server, task_queue=queue, workflows=[Rotating]):
        handle = await started(dev_server, workflow_id)
        with pytest.raises(OutcomePendingError):
            await send_update(handle, Rotating.ask, "now?", uuid4(), timedelta(seconds=0.3))
        asked = asyncio.create_task(send_update(handle, Rotating.ask, "now?", uuid4()))
        await asyncio.sleep(0.3)
        await handle.signal(Rotating.be_ready)
        assert await asked == "yes: now?"
        await handle.signal(Rotating.end)
        await handle.result()


async def test_what_started_before_is_not_started_again(dev_server: Client, queue: str) -> None:
    workflow_id = f"rotating-{uuid4()}"
    async with Worker(dev_server, task_queue=queue, workflows=[Rotating]):
        handle = await started(dev_server, workflow_id)
        first = await handle.describe()
        await started(dev_server, workflow_id)
        await handle.signal(Rotating.end)
        assert await handle.result() == "hello"
        await started(dev_server, workflow_id)  # closed: success, and no second run
        assert (await handle.describe()).run_id == first.run_id


async def test_a_command_starts_a_mailbox_again_that_was_ended_by_force(
    workers: Client,
    admin: Person,
    user: Person,
    plan: dict[str, Any],
) -> None:
    made = (await user.post("subscriptions", plan_id=plan["plan_id"])).json()
    await workers.get_workflow_handle(made["workflow_id"]).terminate()
    path = f"subscriptions/{made['subscription_id']}"
    canceled = (await user.post(f"{path}/cancel", mode="now")).json()
    assert canceled["subscription_status"] == "canceled"
    shown = (await admin.http.get(f"{API}/{path}")).json()
    assert shown["subscription_status"] == "canceled"
    problem(await user.post(f"{path}/cancel", mode="now"), 409, "illegal_command")
