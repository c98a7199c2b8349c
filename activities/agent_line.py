"""The line of runs in a conversation: one after the other, whatever becomes of the one ahead."""

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.agent_desk import begin_run
from activities.agent_endings import EndingActivities
from database.agent_models import AgentRun
from database.agent_runs import AgentRunRepository
from database.conversations import ConversationRepository
from database.session import Sessions
from domain.agent_runs import RunEnd, RunRequest, RunStatus, Turn

RPC_TIMEOUT = timedelta(seconds=5)


class LineActivities:
    """Tells runs whether it is their turn."""

    def __init__(self, client: Client, sessions: Sessions, endings: EndingActivities) -> None:
        self._client = client
        self._sessions = sessions
        self._endings = endings

    @activity.defn
    async def take_turn(self, request: RunRequest) -> Turn:
        """Begin, if all runs ahead of it in the conversation are over.

        One that is not over, but has no workflow any more, is ended here: somebody terminated it.

        Args:
            request: What is to run.

        Returns:
            Whether it has begun.
        """
        while (ahead := await self._ahead(request)) is not None:
            if await self._is_running(ahead.workflow_id):
                return Turn(is_now=False)
            lost = RunEnd(
                agent_run_id=ahead.agent_run_id,
                run_status=RunStatus.FAILED,
                error_code="workflow_terminated",
                error_message="the run was ended from outside",
            )
            await self._endings.close_run(lost)
        return Turn(is_now=True)

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

    async def _is_running(self, workflow_id: str) -> bool:
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            seen = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return seen.status is WorkflowExecutionStatus.RUNNING
