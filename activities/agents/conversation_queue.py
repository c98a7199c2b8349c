"""Runs a conversation's runs one after the other, even if the one before was terminated."""

from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.runs import QueuePosition, RunRequest, RunStatus
from services.agents.recovery.lost_runs import LostRuns
from services.agents.run_records import begin_run


class ConversationQueueActivities:
    """Starts a queued run once all earlier runs of its conversation are closed."""

    def __init__(self, sessions: Sessions, lost_runs: LostRuns) -> None:
        self._sessions = sessions
        self._lost_runs = lost_runs

    @activity.defn
    async def start_if_first(self, request: RunRequest) -> QueuePosition:
        """Begin a run if all earlier runs of its conversation are closed.

        An earlier run that is open but has no running workflow was terminated, and is closed here.

        Args:
            request: The run to begin.

        Returns:
            Whether the run has begun.
        """
        while (ahead := await self._begin_if_first(request)) is not None:
            if not await self._lost_runs.is_lost(ahead.workflow_id):
                return QueuePosition(is_first=False)
            await self._lost_runs.close(ahead.agent_run_id)
        return QueuePosition(is_first=True)

    async def _begin_if_first(self, request: RunRequest) -> AgentRun | None:
        """Begin the run, or return the open run ahead of it."""
        async with self._sessions.begin() as session:
            await ConversationRepository(session).lock(request.conversation_id)
            open_runs = await AgentRunRepository(session).open_runs_of_conversation(
                request.conversation_id
            )
            first = open_runs[0] if open_runs else None
            if first is None or first.agent_run_id != request.agent_run_id:
                return first
            if first.run_status == RunStatus.QUEUED:
                await begin_run(session, first, request)
            return None
