"""Opens the runs of a team's members, and plans the steps of teams by rule."""

from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.session import Sessions
from domain.agents.runs import PlanInput, QueuePosition, RunRequest, RunStatus, StepResult
from domain.errors import NotFoundError
from services.agents.model_calls.answers import find_run_at_step, stored_reply
from services.agents.teams.child_runs import open_child
from services.agents.teams.planning import plan_step


class TeamActivities:
    """The activities of teams; they use only the database."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def open_child_run(self, request: RunRequest) -> QueuePosition:
        """Write the row of a child run with its task, or find the row of an earlier call.

        Args:
            request: The run to open, with its parent.

        Returns:
            That the run begins at once: its conversation is its own.

        Raises:
            IllegalCommandError: The parent has ended meanwhile.
            NotFoundError: There is no such parent, or no such task.
        """
        if request.parent is None:
            raise NotFoundError("the run has no parent")
        async with self._sessions.begin() as session:
            await open_child(session, request, request.parent)
        return QueuePosition(is_first=True)

    @activity.defn
    async def plan_team_step(self, step_input: PlanInput) -> StepResult:
        """Make the next move of a team whose steps are planned by rule.

        Args:
            step_input: The step, with the rules of the team; a step that is stored is not repeated.

        Returns:
            The tasks to be worked on, or that the run has its answer.

        Raises:
            ConflictError: No member brought an answer, or the task was handed over too often.
        """
        async with self._sessions.begin() as session:
            found = await find_run_at_step(session, step_input)
            if found.is_stored:
                return await stored_reply(session, step_input)
            await ConversationRepository(session).lock(found.run.conversation_id)
            run = await AgentRunRepository(session).lock(step_input.agent_run_id)
            if run is None or run.completed_at is not None:
                return StepResult(is_answer=True)  # it was ended meanwhile
            return await plan_step(session, run, step_input)

    @activity.defn
    async def read_run_status(self, request: RunRequest) -> RunStatus | None:
        """Return the status of a run; None if it has no row.

        Args:
            request: The run.
        """
        async with self._sessions() as session:
            row = await AgentRunRepository(session).get(request.agent_run_id, None)
        return None if row is None else RunStatus(row.run_status)
