"""The line of runs in a conversation: one after the other, whatever becomes of the one ahead."""

from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.runs import QueuePosition, RunRequest, RunStatus
from services.agents.lost_runs import LostRuns
from services.agents.run_records import begin_run


class ConversationQueueActivities:
    """Tells runs whether it is their turn."""

    def __init__(self, sessions: Sessions, lost_runs: LostRuns) -> None:
        self._sessions = sessions
        self._lost_runs = lost_runs

    @activity.defn
    async def start_if_first(self, request: RunRequest) -> QueuePosition:
        """Begin, if all runs ahead of it in the conversation are over.

        One that is not over, but has no workflow any more, is ended here: somebody terminated it.

        Args:
            request: What is to run.

        Returns:
            Whether it has begun.
        """
        while (ahead := await self._ahead(request)) is not None:
            if not await self._lost_runs.is_lost(ahead.workflow_id):
                return QueuePosition(is_first=False)
            await self._lost_runs.close(ahead.agent_run_id)
        return QueuePosition(is_first=True)

    async def _ahead(self, request: RunRequest) -> AgentRun | None:
        """Begin, or return who is ahead."""
        async with self._sessions.begin() as session:
            await ConversationRepository(session).lock(request.conversation_id)
            open_ones = await AgentRunRepository(session).open_ones(request.conversation_id)
            first = open_ones[0] if open_ones else None
            if first is None or first.agent_run_id != request.agent_run_id:
                return first
            if first.run_status == RunStatus.QUEUED:
                await begin_run(session, first, request)
            return None
