"""Makes Temporal's schedules equal to a declared table."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.calls import CALL_TIMEOUT
from adapters.temporal.errors import from_temporal, is_connect_failure
from domain.errors import ConflictError, InvalidInputError

# Memo of the schedules that the table has made; all other schedules are left alone.
_MADE_BY, _PROJECT, _USER = "made_by", "perdure", "a user"
# How late a time of a user's schedule may still be taken, after an outage.
USERS_CATCHUP = timedelta(minutes=10)


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


async def put_schedule(client: Client, declared: DeclaredSchedule, *, is_paused: bool) -> None:
    """Make or change one schedule, which a user has made.

    Args:
        client: Connected to the namespace that the workflows run in.
        declared: The schedule.
        is_paused: Whether its times are skipped.

    Raises:
        InvalidInputError: Temporal does not take its times (`invalid_cron`).
        UnavailableError: Temporal cannot be reached.
    """
    state = ScheduleState(paused=is_paused)
    schedule = replace(declared.to_schedule(), state=state)
    schedule.policy.catchup_window = USERS_CATCHUP
    with _translated():
        try:
            await client.create_schedule(
                declared.schedule_id,
                schedule,
                memo={_MADE_BY: _USER},
                rpc_timeout=CALL_TIMEOUT,
            )
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(declared.schedule_id)
            await handle.update(lambda _: ScheduleUpdate(schedule), rpc_timeout=CALL_TIMEOUT)


async def delete_schedule(client: Client, schedule_id: str) -> None:
    """Delete a schedule, if it is there.

    Raises:
        UnavailableError: Temporal cannot be reached.
    """
    with _translated():
        await _delete(client, schedule_id)


async def next_times(client: Client, schedule_id: str) -> list[datetime]:
    """Return the next times of a schedule; empty if it is not there.

    Raises:
        UnavailableError: Temporal cannot be reached.
    """
    with _translated():
        try:
            handle = client.get_schedule_handle(schedule_id)
            description = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return []
    return list(description.info.next_action_times)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise our own errors for those of Temporal."""
    try:
        yield
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise InvalidInputError("these are no times of a schedule", "invalid_cron") from error
        raise from_temporal(error) from error
    except RuntimeError as error:
        if not is_connect_failure(error):
            raise
        raise from_temporal(error) from error


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
