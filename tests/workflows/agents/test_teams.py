"""Histories of teams: runs that begin other runs, also after a reset of the one that leads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle

from agents.registry import find_agent, find_route
from config import Settings
from domain.agents.runs import RUN_REVISION, RunRequest, RunStart, RunStatus
from domain.ids import agent_run_workflow_id, call_id, child_run_id
from domain.workflow_names import AGENTS
from tests.api.agents.test_teams import ANALYSIS, CHART, REPORT, delegate
from tests.support.histories import current_run
from tests.support.world import World
from tests.unit.agents.support import Model, keep_ended, open_model, reach
from workflows.agents.agent_run import AgentRunWorkflow


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def start(
    world: World, user_id: UUID, agent: str, text: str, agent_run_id: UUID | None = None
) -> WorkflowHandle[Any, RunStatus]:
    """Start a run as the API does."""
    spec = find_agent(agent)
    request = RunRequest(
        agent_run_id=agent_run_id or uuid4(),
        user_id=user_id,
        agent=agent,
        prompt_version=spec.prompt_version,
        input=text,
        conversation_id=uuid4(),
    )
    return await world.env.client.start_workflow(
        AgentRunWorkflow.run,
        RunStart(request=request, route=find_route(spec), revision=RUN_REVISION),
        id=agent_run_workflow_id(request.agent_run_id),
        task_queue=AGENTS,
    )


async def test_a_team_that_rules_plan_replays(
    world: World, model: Model, chroma_url: str, histories: Path
) -> None:
    customer = await world.subscribe("ok")
    await model.script({"text": "3 and 4"}, match=ANALYSIS)
    await model.script({"text": "Three and four."}, match=CHART)
    handle = await start(world, customer.user_id, "data_report", f"How much? {uuid4().hex}")
    row = await reach(world.sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "Three and four.")
    await keep_ended(handle, histories / "agent-run-team.json", "plan_team_step", "run_tool")
    first = child_run_id(call_id(row.agent_run_id, 0, 0))
    child = world.env.client.get_workflow_handle(agent_run_workflow_id(first))
    await keep_ended(
        await current_run(child), histories / "agent-run-member.json", "open_child_run"
    )


async def test_a_member_that_has_begun_already_is_waited_for(
    world: World, model: Model, chroma_url: str, histories: Path
) -> None:
    """As after a reset of the leader: the member's workflow is there, and is not begun again."""
    customer = await world.subscribe("ok")
    mark, agent_run_id = uuid4().hex, uuid4()
    await model.script(delegate(("research", f"find it {mark}")), match=REPORT)
    await model.script({"text": "It is here."}, match=REPORT)
    await model.script({"text": "found", "delay_seconds": 1}, match=f"begun before {mark}")
    member_id = child_run_id(call_id(agent_run_id, 0, 0))
    await start(world, customer.user_id, "case_history", f"begun before {mark}", member_id)
    leader = await start(
        world, customer.user_id, "research_report", f"Where is it? {mark}", agent_run_id
    )
    row = await reach(world.sessions, leader, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "It is here.")
    read = str((await model.calls(f"Where is it? {mark}"))[-1]["body"])
    assert "found" in read
    await keep_ended(leader, histories / "agent-run-team-reset.json", "read_run_status")
