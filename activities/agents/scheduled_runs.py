"""Prepares the runs of a schedule, and notes what became of them."""

from datetime import UTC, datetime

from temporalio import activity

from agents.registry import find_agent, find_route
from database.agents.run_schedules import RunScheduleRepository
from database.session import Sessions
from domain.agents.routes import Budget
from domain.agents.runs import RUN_REVISION, OnBudget, RunRequest, RunStart
from domain.agents.schedules import ScheduledRun, ScheduledRunEnd, ScheduledRunInput
from domain.errors import NotFoundError
from domain.ids import derived_id


class ScheduledRunActivities:
    """The activities of scheduled runs; they use only the database."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def prepare_scheduled_run(self, wanted: ScheduledRunInput) -> ScheduledRun:
        """Return the run that a schedule starts now, as its agent is today.

        Args:
            wanted: The schedule, and the workflow that it has started.

        Returns:
            The run; none if the schedule is deleted or paused, or its agent is gone.
        """
        async with self._sessions() as session:
            row = await RunScheduleRepository(session).get(wanted.run_schedule_id, None)
        if row is None or not row.is_active:
            return ScheduledRun()
        try:
            spec = find_agent(row.agent)
        except NotFoundError as error:
            return ScheduledRun(error_code=error.error_code)
        agent_run_id = derived_id("scheduled-run", wanted.workflow_id)
        request = RunRequest(
            agent_run_id=agent_run_id,
            user_id=row.user_id,
            agent=row.agent,
            prompt_version=spec.prompt_version,
            input=row.input,
            conversation_id=derived_id("conversation", agent_run_id),
            budget=Budget(token_count=row.budget_token_count, cost_cents=row.budget_cost_cents),
            on_budget=OnBudget(row.on_budget),
        )
        start = RunStart(request=request, route=find_route(spec), revision=RUN_REVISION)
        return ScheduledRun(start=start)

    @activity.defn
    async def note_scheduled_run(self, end: ScheduledRunEnd) -> None:
        """Note the last run of a schedule, and why it was refused.

        Args:
            end: The schedule and its run.
        """
        async with self._sessions.begin() as session:
            await RunScheduleRepository(session).change(
                end.run_schedule_id,
                {
                    "last_agent_run_id": end.agent_run_id,
                    "last_error_code": end.error_code,
                    "last_started_at": datetime.now(UTC),
                },
            )
