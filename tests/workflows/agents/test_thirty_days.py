"""Approvals over the days of a plan's periods: what waits holds nothing, and none is overspent."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from config import Settings
from database.usage.models import UsageRecord
from domain.agents.runs import RunStatus
from tests.conftest import Measure
from tests.support.world import World
from tests.unit.agents.support import Model, open_model, reach, refund_call, start_run
from tests.workflows.agents.test_agent_run import rejections
from workflows.agents.agent_run import AgentRunWorkflow

HOUR = timedelta(hours=1)
# A run takes about 1,000 tokens, so a week's plan has room for five of its seven runs.
TOKENS_A_WEEK = 6_000
ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.BUDGET_EXCEEDED)


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    async with open_model(settings) as http:
        yield Model(http)


async def records_of(world: World, user_id: UUID) -> Sequence[UsageRecord]:
    async with world.sessions() as session:
        found = await session.scalars(select(UsageRecord).where(UsageRecord.user_id == user_id))
        return found.all()


@pytest.mark.parametrize("days", [8, pytest.param(30, marks=pytest.mark.soak)])
async def test_a_run_a_day_waits_for_its_approval(
    world: World, model: Model, chroma_url: str, days: int, measure: Measure
) -> None:
    customer = await world.subscribe("ok", interval="week", limits={"token_count": TOKENS_A_WEEK})
    ends: Counter[str] = Counter()
    for day in range(days):
        mark = f"refund me {uuid4().hex}"
        await model.script(refund_call(uuid4()), {"text": "No."}, match=mark)
        handle = await start_run(world.env.client, customer.user_id, mark)
        row = await reach(world.sessions, handle, RunStatus.WAITING_APPROVAL, *ENDED)
        await world.step(23 * HOUR)
        records = await records_of(world, customer.user_id)
        assert {each.usage_status for each in records} == {"settled"}, "what waits holds nothing"
        if row.run_status == RunStatus.WAITING_APPROVAL and day % 3:
            (command,) = await rejections(world, row)
            await handle.execute_update(AgentRunWorkflow.decide, command)
        await world.step(2 * HOUR)
        row = await reach(world.sessions, handle, *ENDED)
        ends[row.error_code or row.run_status] += 1
    by_period: Counter[object] = Counter()
    for record in await records_of(world, customer.user_id):
        by_period[record.period_start] += record.prompt_token_count
        by_period[record.period_start] += record.completion_token_count
    measure(
        f"{days} days, one approval a day: ends {dict(ends)}; tokens by week, of {TOKENS_A_WEEK}: "
        f"{list(by_period.values())}"
    )
    assert len(by_period) > 1, "the plan was renewed"
    assert max(by_period.values()) <= TOKENS_A_WEEK
    assert ends["completed"]
    assert sum(ends.values()) > ends["completed"], "the plan was used up"
