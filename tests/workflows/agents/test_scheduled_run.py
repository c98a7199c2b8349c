"""The history of a scheduled run, and of a schedule that is gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle

from config import Settings
from database.agents.agent_runs import AgentRunRepository
from database.agents.run_schedules import RunScheduleRepository
from domain.agents.runs import OnBudget, RunStatus
from domain.agents.schedules import ScheduledRunStart, schedule_id
from domain.workflow_names import AGENTS
from tests.support.world import World
from tests.unit.agents.support import Model, ended, keep_ended, open_model
from workflows.agents.scheduled_run import ScheduledRunWorkflow


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def test_a_scheduled_run_replays(
    world: World, model: Model, chroma_url: str, histories: Path
) -> None:
    customer = await world.subscribe("ok")
    mark, run_schedule_id = uuid4().hex, uuid4()
    await model.script({"text": "News."}, match=mark)
    start = ScheduledRunStart(run_schedule_id=run_schedule_id)

    async def come(time: int) -> WorkflowHandle[Any, Any]:
        """Let a time of the schedule come, and wait for its end without passing time."""
        handle = await world.env.client.start_workflow(
            ScheduledRunWorkflow.run,
            start,
            id=f"{schedule_id(run_schedule_id)}-{time}",
            task_queue=AGENTS,
        )
        await ended(handle)
        return handle

    # A schedule that is gone starts nothing.
    await come(1)
    async with world.sessions.begin() as session:
        await RunScheduleRepository(session).add(
            {
                "run_schedule_id": run_schedule_id,
                "user_id": customer.user_id,
                "agent": "analysis",
                "input": mark,
                "cron": "* * * * *",
                "time_zone": "UTC",
                "is_active": True,
                "on_budget": OnBudget.END,
            }
        )
    handle = await come(2)
    async with world.sessions() as session:
        noted = await RunScheduleRepository(session).get(run_schedule_id, None)
        assert noted is not None
        assert noted.last_agent_run_id is not None
        run = await AgentRunRepository(session).get(noted.last_agent_run_id, None)
    assert run is not None
    assert (run.run_status, run.output) == (RunStatus.COMPLETED, "News.")
    assert noted.last_error_code is None
    names = ("prepare_scheduled_run", "note_scheduled_run")
    await keep_ended(handle, histories / "scheduled-run.json", *names)
