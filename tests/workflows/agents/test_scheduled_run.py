"""The history of a scheduled run, and of a schedule that is gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from config import Settings
from database.agents.run_schedules import RunScheduleRepository
from domain.agents.runs import OnBudget, RunStatus
from domain.agents.schedules import ScheduledRunStart, schedule_id
from domain.workflow_names import AGENTS
from tests.support.world import World
from tests.unit.agents.support import Model, keep_ended, open_model
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
    client, times = world.env.client, iter(range(9))

    async def come() -> RunStatus | None:
        workflow_id = f"{schedule_id(run_schedule_id)}-{next(times)}"
        return await client.execute_workflow(
            ScheduledRunWorkflow.run, start, id=workflow_id, task_queue=AGENTS
        )

    assert await come() is None
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
    assert await come() is RunStatus.COMPLETED
    handle = client.get_workflow_handle(f"{schedule_id(run_schedule_id)}-1")
    described = await handle.describe()
    ended = client.get_workflow_handle(handle.id, run_id=described.run_id)
    names = ("prepare_scheduled_run", "note_scheduled_run")
    await keep_ended(ended, histories / "scheduled-run.json", *names)
