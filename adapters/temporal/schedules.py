"""Makes Temporal's schedules equal to a declared table."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import ConflictError

# Memo of the schedules that the table has made; all other schedules are left alone.
_MADE_BY, _PROJECT = "made_by", "perdure"


@dataclass(frozen=True)
class DeclaredSchedule:
    """A schedule that starts a workflow again and again.

    Args:
        schedule_id: Id of the schedule; also the beginning of the workflow ids.
        run: Run method of the workflow.
        argument: Input of the workflow.
        task_queue: Task queue of the workflow.
        spec: Intervals or calendars, as Temporal's SDK defines them.
        summary: Text for Temporal's Web UI.
        overlap: What happens at a time at which the workflow is still running.
    """

    schedule_id: str
    run: Callable[..., Awaitable[Any]]
    argument: Any
    task_queue: str
    spec: ScheduleSpec
    summary: str
    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP

    def to_schedule(self) -> Schedule:
        """Return the schedule as Temporal's SDK defines it."""
        action = ScheduleActionStartWorkflow(
            self.run,
            self.argument,
            id=self.schedule_id,
            task_queue=self.task_queue,
            static_summary=self.summary,
        )
        return Schedule(action, self.spec, SchedulePolicy(overlap=self.overlap))


async def ensure_schedules(client: Client, table: Sequence[DeclaredSchedule]) -> None:
    """Make the schedules of a table, change those that differ, and delete those it names no more.

    Whether a schedule is paused stays as an operator has left it.

    Args:
        client: Connected to the namespace that the workflows run in.
        table: All schedules of this release.

    Raises:
        ConflictError: Somebody else has made a schedule with an id of the table.
    """
    for declared in table:
        try:
            await client.create_schedule(
                declared.schedule_id, declared.to_schedule(), memo={_MADE_BY: _PROJECT}
            )
        except ScheduleAlreadyRunningError:
            await _update(client, declared)
    names = {declared.schedule_id for declared in table}
    async for listed in await client.list_schedules():
        if listed.id not in names and await _is_ours(listed):
            await _delete(client, listed.id)


async def _is_ours(schedule: ScheduleListDescription | ScheduleDescription) -> bool:
    made_by: object = await schedule.memo_value(_MADE_BY, None)
    return made_by == _PROJECT


async def _update(client: Client, declared: DeclaredSchedule) -> None:
    async def change(current: ScheduleUpdateInput) -> ScheduleUpdate:
        if not await _is_ours(current.description):
            raise ConflictError(f"the schedule {declared.schedule_id} was not made by this project")
        state = current.description.schedule.state
        return ScheduleUpdate(replace(declared.to_schedule(), state=state))

    await client.get_schedule_handle(declared.schedule_id).update(change)


async def _delete(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        # Reason: the list may still name a schedule that was deleted just before.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
