"""The workflow that a schedule starts: it starts one run, and waits until it has ended."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.agents.scheduled_runs import ScheduledRunActivities
    from domain.agents.runs import RunStart, RunStatus
    from domain.agents.schedules import (
        ScheduledRunEnd,
        ScheduledRunInput,
        ScheduledRunStart,
    )
    from domain.ids import agent_run_workflow_id
    from domain.workflow_names import AGENT_RUN_WORKFLOW
    from workflows.records import execute_record
    from workflows.search_attributes import starting_attributes

_FAILED = "internal_error"


@workflow.defn
class ScheduledRunWorkflow:
    """The workflow of one time of a schedule; the next time is skipped while it still waits."""

    @workflow.run
    async def run(self, start: ScheduledRunStart) -> RunStatus | None:
        """Start the run of a schedule, and wait until it has ended.

        Args:
            start: The schedule.

        Returns:
            How the run ended; None if it was refused, or if the schedule is paused.
        """
        wanted = ScheduledRunInput(
            run_schedule_id=start.run_schedule_id, workflow_id=workflow.info().workflow_id
        )
        prepared = await execute_record(
            ScheduledRunActivities.prepare_scheduled_run,
            wanted,
            "read the schedule",
            is_local=True,
        )
        if prepared.start is None and prepared.error_code is None:
            return None
        status, code, agent_run_id = None, prepared.error_code, None
        if prepared.start is not None:
            agent_run_id = prepared.start.request.agent_run_id
            status, code = await _run(prepared.start)
        end = ScheduledRunEnd(
            run_schedule_id=start.run_schedule_id, agent_run_id=agent_run_id, error_code=code
        )
        summary = f"note that the run is {status or code}"
        await execute_record(ScheduledRunActivities.note_scheduled_run, end, summary, is_local=True)
        return status


async def _run(start: RunStart) -> tuple[RunStatus | None, str | None]:
    """Run an agent, and return how the run ended, or why it was refused."""
    request = start.request
    try:
        status: RunStatus = await workflow.execute_child_workflow(
            AGENT_RUN_WORKFLOW,
            start,
            id=agent_run_workflow_id(request.agent_run_id),
            result_type=RunStatus,
            # Reason: whoever ends a schedule does not mean the run that is under way.
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary=f"agent {request.agent}, by a schedule",
            search_attributes=starting_attributes(
                user_id=request.user_id, status=RunStatus.RUNNING
            ),
        )
    except ChildWorkflowError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ApplicationError):
            cause = cause.__cause__
        return None, (cause and cause.type) or _FAILED
    return status, None
