"""The life of a run beyond one sitting: days of silence, long histories, lost caches.

Cancels are tested on the dev server, in `tests/api/agents/test_trouble.py`: the server that skips
time refuses the cancel of an activity that has just completed, and the workflow is stuck for ever
(temporalio/sdk-java, issues 2391 and 3088).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle

from adapters.temporal.calls import send_update
from config import Settings
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from domain.agents.approvals import ApprovalCommand, Decision
from domain.agents.routes import Route
from domain.agents.runs import NewRunMessage, RunStatus
from domain.agents.tools.tool_calls import ToolCallStatus
from tests.support.histories import current_run
from tests.support.world import World
from tests.unit.agents.support import (
    Model,
    ended,
    keep_ended,
    open_model,
    reach,
    refund_call,
    start_run,
)
from workflows.agents.agent_run import AgentRunWorkflow

HOUR = timedelta(hours=1)
SEARCH = {"name": "search_memory", "arguments": {"query": "trains"}}


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def rejections(world: World, run: AgentRun) -> list[ApprovalCommand]:
    """Return a no to each call of a run that waits for somebody's yes."""
    async with world.sessions() as session:
        pending = await ToolCallRepository(session).pending([run.agent_run_id])
    return [
        ApprovalCommand(
            command_id=uuid4(),
            agent_run_id=run.agent_run_id,
            call_id=call.call_id,
            args_sha256=approval.args_sha256,
            decision=Decision.REJECT,
            decided_by=run.user_id,
            role="admin",
        )
        for approval, call in pending
    ]


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
    await keep_ended(handle, histories / "agent-run-expired.json", "expire_approval")


async def test_a_decision_replays(
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
    (command,) = await rejections(world, row)
    verdict = await handle.execute_update(AgentRunWorkflow.decide, command)
    assert verdict.approval_status == "rejected"
    assert (await handle.execute_update(AgentRunWorkflow.decide, command)) == verdict
    assert (await reach(world.sessions, handle, RunStatus.COMPLETED)).output == "No."
    await keep_ended(handle, histories / "agent-run-rejected.json", "decide")


async def test_a_long_run_continues_as_new(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
) -> None:
    customer = await world.subscribe("ok")
    mark = f"look everywhere {uuid4().hex}"
    await model.script({"tool_calls": [SEARCH], "repeat": 8}, {"text": "Done."}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark, continue_as_new_after=40)
    row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "Done.")
    assert len(await model.calls(mark)) == 9
    last = await current_run(handle)
    await ended(last)
    began = (await last.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert began.continued_execution_run_id
    await keep_ended(last, histories / "agent-run-rotated.json")


async def test_a_run_that_waits_continues_as_new(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
) -> None:
    """What was decided before stays decided, and what is said before and after is read."""
    customer = await world.subscribe("ok")
    mark = f"refund me twice {uuid4().hex}"
    calls = [refund_call(uuid4())["tool_calls"][0] for _ in range(2)]
    await model.script({"tool_calls": calls}, {"text": "No."}, match=mark)
    handle = await start_run(world.env.client, customer.user_id, mark, continue_as_new_after=40)
    row = await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL)
    first, second = await rejections(world, row)
    await handle.execute_update(AgentRunWorkflow.decide, first)
    begun = {(await handle.describe()).run_id}
    notes = [f"note {number}" for number in range(12)]
    for note in notes:
        await say(handle, row.agent_run_id, note)
        begun.add((await handle.describe()).run_id)
    assert len(begun) >= 2, "it has not continued as new"
    assert (await handle.fetch_history()).events[-1].event_id < 100
    await send(handle, AgentRunWorkflow.decide, second, second.command_id)
    row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "No.")
    read = str((await model.calls(mark))[-1]["body"])
    assert [note for note in notes if note not in read] == []
    await ended(handle)
    await keep_ended(await current_run(handle), histories / "agent-run-waited.json")


@pytest.mark.parametrize(
    ("revision", "name", "steps"),
    [
        (1, "agent-run-queued.json", ("retrieve", "remember_run")),
        (2, "agent-run-queued-2.json", ("open_run", "close_run")),
    ],
)
async def test_a_run_that_waits_for_another_gets_its_messages(
    world: World,
    model: Model,
    chroma_url: str,
    histories: Path,
    revision: int,
    name: str,
    steps: tuple[str, ...],
) -> None:
    customer = await world.subscribe("ok")
    mark, note, conversation_id = f"refund me {uuid4().hex}", f"be brief {uuid4().hex}", uuid4()
    await model.script(refund_call(uuid4()), {"text": "No."}, match=mark)
    first = await start_run(world.env.client, customer.user_id, mark, conversation_id)
    (command,) = await rejections(
        world, await reach(world.sessions, first, RunStatus.WAITING_APPROVAL)
    )
    second = await start_run(
        world.env.client,
        customer.user_id,
        "and now?",
        conversation_id,
        route=Route(),
        revision=revision,
    )
    row = await reach(world.sessions, second, RunStatus.QUEUED)
    said = asyncio.create_task(say(second, row.agent_run_id, note))
    await asyncio.sleep(0.5)
    assert not said.done(), "a message comes after the input of its run"
    await first.execute_update(AgentRunWorkflow.decide, command)
    await said
    await reach(world.sessions, second, RunStatus.COMPLETED)
    assert len(await model.calls(note)) >= 1
    names = ("start_if_first", "add_message", "add_run_message", "run_next")
    await keep_ended(second, histories / name, *names, *steps)


async def say(handle: WorkflowHandle[Any, Any], agent_run_id: UUID, text: str) -> None:
    message = NewRunMessage(command_id=uuid4(), agent_run_id=agent_run_id, content=text)
    await send(handle, AgentRunWorkflow.add_message, message, message.command_id)


async def send(
    handle: WorkflowHandle[Any, Any], update: Any, argument: Any, command_id: UUID
) -> None:
    """Send a command as the API does: a run that is just continuing as new takes it a bit later."""
    await send_update(handle, update, argument, command_id, timedelta(seconds=100))
