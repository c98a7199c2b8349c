"""The life of a run beyond one sitting: days of silence, long histories, lost caches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle

from commands.replay import read_history, record, replay
from config import Settings
from database.agent_models import AgentRun
from database.session import Sessions
from database.tool_calls import ToolCallRepository
from domain.agent_runs import CancelRun, RunStatus
from domain.approvals import ApprovalCommand, Decision
from domain.tool_calls import ToolCallStatus
from tests.agent.support import Model, open_model, row_of, start_run
from tests.world import World
from workflows.agent_run import AgentRunWorkflow

HOUR = timedelta(hours=1)
SEARCH = {"name": "search_memory", "arguments": {"query": "trains"}}


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def until(read: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    async with asyncio.timeout(seconds):
        while not (answer := await read()):  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.05)
    return answer


async def reach(
    sessions: Sessions,
    handle: WorkflowHandle[Any, Any],
    *statuses: RunStatus,
) -> AgentRun:
    async def look() -> AgentRun | None:
        row = await row_of(sessions, handle)
        return row if row is not None and row.run_status in statuses else None

    row: AgentRun = await until(look)
    return row


def refund_call(payment_id: UUID) -> dict[str, Any]:
    arguments = {"payment_id": str(payment_id), "reason": "the train was late"}
    return {"tool_calls": [{"name": "refund_payment", "arguments": arguments}]}


async def ended(handle: WorkflowHandle[Any, Any]) -> None:
    async def is_closed() -> bool:
        return (await handle.describe()).close_time is not None

    await until(is_closed)


async def keep(handle: WorkflowHandle[Any, Any], path: Path) -> None:
    """Record a history and replay what was recorded."""
    await ended(handle)
    record(await handle.fetch_history(), path)
    assert (await replay(read_history(path))).difference is None


async def test_silence_is_a_no(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
) -> None:
    customer = await world.subscribe("ok")
    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), {"text": "Nobody said yes."}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark)
    row = await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL)
    await world.step(23 * HOUR)
    assert (await reach(world.sessions, handle, *RunStatus)).run_status == row.run_status
    await world.step(2 * HOUR)
    row = await reach(world.sessions, handle, RunStatus.COMPLETED)
    assert row.output == "Nobody said yes."
    async with world.sessions() as session:
        calls = await ToolCallRepository(session).of_run(row.agent_run_id)
    assert [call.tool_call_status for call in calls] == [ToolCallStatus.EXPIRED]
    await keep(handle, histories / "agent-run-expired.json")


async def test_a_decision_and_a_cancel_replay(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
) -> None:
    customer = await world.subscribe("ok")
    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), {"text": "No."}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark)
    row = await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL)
    async with world.sessions() as session:
        ((approval, call),) = await ToolCallRepository(session).pending([row.agent_run_id])
    command = ApprovalCommand(
        command_id=uuid4(),
        agent_run_id=row.agent_run_id,
        call_id=call.call_id,
        args_sha256=approval.args_sha256,
        decision=Decision.REJECT,
        decided_by=customer.user_id,
        role="admin",
    )
    verdict = await handle.execute_update(AgentRunWorkflow.decide, command)
    assert verdict.approval_status == "rejected"
    assert (await handle.execute_update(AgentRunWorkflow.decide, command)) == verdict
    assert (await reach(world.sessions, handle, RunStatus.COMPLETED)).output == "No."
    await keep(handle, histories / "agent-run-rejected.json")

    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark)
    await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL)
    status = await handle.execute_update(AgentRunWorkflow.cancel, CancelRun(command_id=uuid4()))
    assert status is RunStatus.CANCELED
    await keep(handle, histories / "agent-run-canceled.json")


async def test_a_cancel_of_temporals_own_is_written_down(world: World, model: Model) -> None:
    customer = await world.subscribe("ok")
    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark)
    await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL)
    await handle.cancel()
    await reach(world.sessions, handle, RunStatus.CANCELED)
    await ended(handle)


async def test_a_cancel_that_comes_as_a_step_ends_is_not_lost(world: World, model: Model) -> None:
    """The step completes before its heartbeat hears of the cancel, and asks for somebody's yes."""
    customer = await world.subscribe("ok")
    mark = f"refund me {uuid4().hex}"
    await model.script({**refund_call(uuid4()), "delay_seconds": 0.3}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark)
    await until(lambda: model.calls(mark))
    command = CancelRun(command_id=uuid4())
    async with asyncio.timeout(10):
        status = await handle.execute_update(AgentRunWorkflow.cancel, command)
    assert status is RunStatus.CANCELED
    await ended(handle)


async def test_a_long_run_continues_as_new(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
) -> None:
    customer = await world.subscribe("ok")
    mark = f"look everywhere {uuid4().hex}"
    await model.script({"tool_calls": [SEARCH], "repeat": 8}, {"text": "Done."}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark, rotate_after=40)
    row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "Done.")
    assert len(await model.calls(mark)) == 9
    last = world.env.client.get_workflow_handle(handle.id)
    await ended(last)
    began = (await last.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert began.continued_execution_run_id
    await keep(last, histories / "agent-run-rotated.json")
