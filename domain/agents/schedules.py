"""Runs on a schedule: which times may be named, and what the scheduled workflow is told. Pure."""

import re
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.agents.runs import RunStart
from domain.base import Frozen
from domain.errors import InvalidInputError, TooManyRequestsError

# Schedules of one user; each may start a run every minute.
MAX_SCHEDULES = 50
_FIELD = re.compile(r"[0-9A-Za-z*,/-]{1,60}")
_FIELD_COUNT = 5
# Highest and lowest number of each field: minute, hour, day of month, month, day of week.
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class ScheduledRunStart(Frozen):
    """Input of `ScheduledRunWorkflow`: the schedule; all else is read when its time has come."""

    run_schedule_id: UUID


class ScheduledRunInput(Frozen):
    """Input of the activity that prepares a scheduled run.

    Args:
        run_schedule_id: The schedule.
        workflow_id: Id of the scheduled workflow, from which the run's id is derived.
    """

    run_schedule_id: UUID
    workflow_id: str


class ScheduledRun(Frozen):
    """What a scheduled workflow starts; nothing if the schedule is gone or paused.

    Args:
        start: The run.
        error_code: Why no run can be started.
    """

    start: RunStart | None = None
    error_code: str | None = None


class ScheduledRunEnd(Frozen):
    """Input of the activity that notes what became of a scheduled run.

    Args:
        run_schedule_id: The schedule.
        agent_run_id: The run; None if none could be started.
        error_code: Why the run was refused; None if it was not.
    """

    run_schedule_id: UUID
    agent_run_id: UUID | None = None
    error_code: str | None = None


def schedule_id(run_schedule_id: UUID | str) -> str:
    """Return the id of a schedule at Temporal, and the beginning of the ids of its workflows."""
    return f"scheduled-run-{run_schedule_id}"


def check_times(cron: str, time_zone: str) -> str:
    """Check the times of a schedule, and return them in one form.

    Args:
        cron: Five fields: minute, hour, day of the month, month, day of the week.
        time_zone: Name of a time zone, such as `Europe/Berlin`.

    Raises:
        InvalidInputError: These are no times (`invalid_cron`), or there is no such time zone
            (`unknown_time_zone`).
    """
    fields = cron.split()
    if len(fields) != _FIELD_COUNT or not all(_FIELD.fullmatch(field) for field in fields):
        raise _invalid("a schedule has five fields: minute, hour, day, month, day of the week")
    for field, (lowest, highest) in zip(fields, _RANGES, strict=True):
        # Reason: what follows a slash is a step.
        numbers = [int(each) for each in re.findall(r"(?<![/0-9])[0-9]+", field)]
        if any(not lowest <= number <= highest for number in numbers):
            raise _invalid(f"{field} is not within {lowest} to {highest}")
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError("there is no such time zone", "unknown_time_zone") from error
    return " ".join(fields)


def too_many_schedules_error() -> TooManyRequestsError:
    """Return the error for a schedule beyond the limit of one user."""
    message = f"a user may have {MAX_SCHEDULES} schedules"
    return TooManyRequestsError(message, "too_many_schedules", {"limit": MAX_SCHEDULES})


def _invalid(message: str) -> InvalidInputError:
    return InvalidInputError(message, "invalid_cron")
