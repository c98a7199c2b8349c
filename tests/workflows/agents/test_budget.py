"""A run that waits for its budget tries by itself now and then, and as soon as it is raised."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from config import Settings
from domain.agents.routes import Budget, Route
from domain.agents.runs import (
    RUN_REVISION,
    OnBudget,
    RaiseBudget,
    RunRequest,
    RunStart,
    RunStatus,
)
from domain.ids import agent_run_workflow_id
from domain.workflow_names import AGENTS
from tests.support.world import World
from tests.unit.agents.support import Model, keep_ended, open_model, reach
from workflows.agents.agent_run import AgentRunWorkflow


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def test_a_run_waits_for_its_budget_and_goes_on(
    world: World, model: Model, chroma_url: str, histories: Path
) -> None:
    customer = await world.subscribe("ok")
    mark = uuid4().hex
    await model.script({"text": "It is there."}, match=mark)
    request = RunRequest(
        agent_run_id=uuid4(),
        user_id=customer.user_id,
        agent="research",
        prompt_version="v1",
        input=mark,
        conversation_id=uuid4(),
        budget=Budget(token_count=100),
        on_budget=OnBudget.WAIT,
    )
    handle = await world.env.client.start_workflow(
        AgentRunWorkflow.run,
        RunStart(request=request, route=Route(has_retrieval=False), revision=RUN_REVISION),
        id=agent_run_workflow_id(request.agent_run_id),
        task_queue=AGENTS,
    )
    await reach(world.sessions, handle, RunStatus.WAITING_BUDGET)
    await world.step(timedelta(minutes=10))
    assert await model.calls(mark) == []
    row = await reach(world.sessions, handle, *RunStatus)
    assert row.run_status == RunStatus.WAITING_BUDGET
    command = RaiseBudget(
        command_id=uuid4(),
        agent_run_id=request.agent_run_id,
        budget=Budget(token_count=50_000),
    )
    for _ in range(2):
        await handle.execute_update(
            AgentRunWorkflow.raise_budget, command, id=str(command.command_id)
        )
    row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "It is there.")
    await keep_ended(handle, histories / "agent-run-budget.json", "raise_budget")
