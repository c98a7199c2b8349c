"""The table of schedules, made equal to a real Temporal server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.service import RPCError
from temporalio.worker import Worker

from adapters.temporal.schedules import DeclaredSchedule, ensure_schedules
from domain.errors import ConflictError
from tests.api.support import eventually

QUEUE = f"schedules-{uuid4().hex}"


@workflow.defn(sandboxed=False)
class CountWorkflow:
    @workflow.run
    async def run(self, start: int) -> int:
        return start + 1


def every(length: timedelta) -> ScheduleSpec:
    return ScheduleSpec(intervals=[ScheduleIntervalSpec(every=length)])


@pytest.fixture
async def declared(dev_server: Client) -> AsyncIterator[DeclaredSchedule]:
    """Return a row of the table; the schedules are deleted after the test."""
    yield DeclaredSchedule(
        schedule_id=f"count-{uuid4().hex}",
        run=CountWorkflow.run,
        argument=41,
        task_queue=QUEUE,
        spec=every(timedelta(seconds=1)),
        summary="count once more",
    )
    # Reason: the schedules of production would start workflows beside those of other tests.
    await ensure_schedules(dev_server, ())


async def test_a_schedule_of_the_table_starts_its_workflow_and_is_made_once(
    dev_server: Client, declared: DeclaredSchedule
) -> None:
    async with Worker(dev_server, task_queue=QUEUE, workflows=[CountWorkflow]):
        for _ in range(2):
            await ensure_schedules(dev_server, [declared])
        handle = dev_server.get_schedule_handle(declared.schedule_id)

        async def has_started() -> bool:
            return bool((await handle.describe()).info.recent_actions)

        await eventually(has_started)
        (first, *_) = (await handle.describe()).info.recent_actions
        assert isinstance(first.action, ScheduleActionExecutionStartWorkflow)
        assert first.action.workflow_id.startswith(declared.schedule_id)
        assert await dev_server.get_workflow_handle(first.action.workflow_id).result() == 42


async def test_a_changed_row_changes_its_schedule_which_stays_paused(
    dev_server: Client, declared: DeclaredSchedule
) -> None:
    await ensure_schedules(dev_server, [declared])
    handle = dev_server.get_schedule_handle(declared.schedule_id)
    await handle.pause(note="by an operator")
    nightly = ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(3)])])
    for spec in (every(timedelta(hours=6)), nightly):
        changed = replace(declared, spec=spec, overlap=ScheduleOverlapPolicy.BUFFER_ONE)
        await ensure_schedules(dev_server, [changed])
        schedule = (await handle.describe()).schedule
        assert [each.every for each in schedule.spec.intervals] == [
            each.every for each in spec.intervals
        ]
        assert [list(each.hour) for each in schedule.spec.calendars] == [
            list(each.hour) for each in spec.calendars
        ]
        assert schedule.policy.overlap is ScheduleOverlapPolicy.BUFFER_ONE
        assert (schedule.state.paused, schedule.state.note) == (True, "by an operator")


async def test_a_row_that_is_gone_is_deleted_and_others_schedules_are_left_alone(
    dev_server: Client, declared: DeclaredSchedule
) -> None:
    theirs_id = f"theirs-{uuid4().hex}"
    action = ScheduleActionStartWorkflow(CountWorkflow.run, 1, id=theirs_id, task_queue=QUEUE)
    theirs = await dev_server.create_schedule(
        theirs_id, Schedule(action, every(timedelta(hours=1)))
    )
    await ensure_schedules(dev_server, [declared])

    async def is_listed() -> bool:
        listed = {each.id async for each in await dev_server.list_schedules()}
        return {theirs_id, declared.schedule_id} <= listed

    await eventually(is_listed)
    await ensure_schedules(dev_server, ())
    assert (await theirs.describe()).id == theirs_id
    with pytest.raises(RPCError, match="not found"):
        await dev_server.get_schedule_handle(declared.schedule_id).describe()
    with pytest.raises(ConflictError, match=f"{theirs_id} was not made by this project"):
        await ensure_schedules(dev_server, [replace(declared, schedule_id=theirs_id)])
    await theirs.delete()
