"""The table of all schedules, which `cli.py migrate` makes at Temporal."""

from adapters.temporal.schedules import DeclaredSchedule

SCHEDULES: tuple[DeclaredSchedule, ...] = ()
