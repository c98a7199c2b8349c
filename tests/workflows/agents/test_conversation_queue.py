"""Runs in line behind one that never came to its end."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from config import Settings
from domain.agents.routes import Route
from domain.agents.runs import RunRequest, RunStart, RunStatus
from domain.ids import agent_run_workflow_id
from domain.workflow_names import AGENTS
from tests.support.world import World
from tests.unit.agents.support import (
    Model,
    ended,
    open_model,
    reach,
    refund_call,
    row_of,
    start_run,
)
from workflows.agents.agent_run import AgentRunWorkflow

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def test_a_terminated_run_does_not_hold_up_the_next_one(
    world: World,
    model: Model,
    chroma_url: str,
) -> None:
    customer = await world.subscribe("ok")
    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), match=mark)
    first = await start_run(world.env.client, customer.user_id, mark)
    row = await reach(world.sessions, first, RunStatus.WAITING_APPROVAL)
    request = RunRequest(
        agent_run_id=uuid4(),
        user_id=customer.user_id,
        agent="research",
        prompt_version="v1",
        input="hello",
        conversation_id=row.conversation_id,
    )
    second = await world.env.client.start_workflow(
        AgentRunWorkflow.run,
        RunStart(request=request, route=Route(has_retrieval=False)),
        id=agent_run_workflow_id(request.agent_run_id),
        task_queue=AGENTS,
    )
    await reach(world.sessions, second, RunStatus.QUEUED)
    await world.step(2 * MINUTE)
    waiting = await row_of(world.sessions, second)
    assert waiting is not None
    assert waiting.run_status == RunStatus.QUEUED

    await first.terminate("stuck")
    await world.step(5 * MINUTE)

    await reach(world.sessions, second, RunStatus.COMPLETED)
    lost = await reach(world.sessions, first, RunStatus.FAILED)
    assert lost.error_code == "workflow_terminated"
    await ended(second)
