"""The table of all schedules, which `cli.py migrate` makes at Temporal."""

from datetime import timedelta

from temporalio.client import (
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)

from adapters.temporal.schedules import DeclaredSchedule
from domain.reconciliation.messages import ReconciliationScope, ReconciliationStart
from domain.workflow_names import BILLING
from workflows.reconciliation.reconciliation import ReconciliationWorkflow

_EVERY_MINUTE = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=60))])
_EVERY_NIGHT = ScheduleSpec(
    calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(3)], minute=[ScheduleRange(17)])]
)

SCHEDULES: tuple[DeclaredSchedule, ...] = (
    DeclaredSchedule(
        schedule_id="reconciliation-events",
        run=ReconciliationWorkflow.run,
        argument=ReconciliationStart(scope=ReconciliationScope.EVENTS),
        task_queue=BILLING,
        spec=_EVERY_MINUTE,
        summary="store the events of Stripe that no webhook delivered",
    ),
    DeclaredSchedule(
        schedule_id="reconciliation-full",
        run=ReconciliationWorkflow.run,
        argument=ReconciliationStart(scope=ReconciliationScope.FULL),
        task_queue=BILLING,
        spec=_EVERY_NIGHT,
        summary="compare all live subscriptions with Stripe",
    ),
)
