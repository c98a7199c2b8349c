"""Finds and closes runs whose workflow ended or vanished without closing them."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from database.session import DATABASE_DOWN, Sessions
from domain.agents.runs import CloseRunInput, RunStatus
from domain.ids import agent_run_workflow_id
from domain.workflow_names import RUN_NEXT
from services.agents.run_closing import RunClosing

log = structlog.get_logger(__name__)

RPC_TIMEOUT = timedelta(seconds=5)
PAUSE_SECONDS = 3.0
# How far back each list query goes: Temporal may list an ended workflow some seconds later.
LOOK_BACK = timedelta(minutes=2)
# How often all open runs are compared with Temporal, in case no list showed their end.
COMPARE_ALL_EVERY = timedelta(minutes=5)
_ENDED = (
    "WorkflowType = 'AgentRunWorkflow' AND CloseTime > '{since}'"
    " AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed', 'Canceled')"
)


class WorkflowState(Enum):
    """The state of an open run's workflow at Temporal."""

    RUNNING = auto()
    ENDED = auto()
    MISSING = auto()


class LostRuns:
    """Finds and closes lost runs.

    Args:
        client: Temporal client.
        sessions: Database sessions.
        closing: Closes a run.
    """

    def __init__(self, client: Client, sessions: Sessions, closing: RunClosing) -> None:
        self._client = client
        self._sessions = sessions
        self._closing = closing

    async def is_lost(self, workflow_id: str) -> bool:
        """Return whether an open run's workflow is not running any more.

        Raises:
            RPCError: Temporal cannot be reached.
        """
        return await state_of(self._client, workflow_id) is not WorkflowState.RUNNING

    async def close(self, agent_run_id: UUID) -> None:
        """Close a run as failed because its workflow was terminated, and start the next run."""
        run_end = CloseRunInput(
            agent_run_id=agent_run_id,
            run_status=RunStatus.FAILED,
            error_code="workflow_terminated",
            error_message="the run's workflow was ended from outside",
        )
        closed = await self._closing.close(run_end)
        log.warning("lost_run_closed", agent_run_id=str(agent_run_id))
        if closed.next_agent_run_id is not None:
            await self._signal_next(closed.next_agent_run_id)

    async def watch(self) -> None:
        """Compare open runs with Temporal every few seconds, until cancelled."""
        compared_at: datetime | None = None
        while True:
            now = datetime.now(UTC)
            try:
                if compared_at is None or now - compared_at > COMPARE_ALL_EVERY:
                    await self._compare(await self._open_runs(None))
                    compared_at = now
                elif ended := await self._ended_since(now - LOOK_BACK):
                    await self._compare(await self._open_runs(ended))
            except DATABASE_DOWN as error:
                log.warning("open_runs_not_compared", error=type(error).__name__)
            except TemporalError as error:
                log.warning("open_runs_not_compared", error=type(error).__name__)
            except Exception:
                log.exception("open_runs_not_compared")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _open_runs(self, workflow_ids: list[str] | None) -> Iterable[AgentRun]:
        async with self._sessions() as session:
            return await AgentRunRepository(session).open_runs(workflow_ids)

    async def _compare(self, runs: Iterable[AgentRun]) -> None:
        for run in runs:
            # Reason: a worker with a wrong server or namespace finds no workflow at all and must
            # not close every run. The doctor reports runs without a workflow.
            if await state_of(self._client, run.workflow_id) is WorkflowState.ENDED:
                await self.close(run.agent_run_id)

    async def _ended_since(self, since: datetime) -> list[str]:
        query = _ENDED.format(since=since.isoformat())
        try:
            return [execution.id async for execution in self._client.list_workflows(query)]
        except RPCError as error:
            # Reason: Temporal's time-skipping test server cannot list workflows.
            if error.status is not RPCStatusCode.UNIMPLEMENTED:
                raise
            return []

    async def _signal_next(self, agent_run_id: UUID) -> None:
        handle = self._client.get_workflow_handle(agent_run_workflow_id(agent_run_id))
        try:
            await handle.signal(RUN_NEXT, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            # Reason: the waiting run also checks by itself whether it is first.
            log.info("next_run_not_told", error=error.status.name)


async def state_of(client: Client, workflow_id: str) -> WorkflowState:
    """Return the state of an open run's workflow.

    Args:
        client: Temporal client.
        workflow_id: Id of the run's workflow.

    Raises:
        RPCError: Temporal cannot be reached.
    """
    try:
        description = await client.get_workflow_handle(workflow_id).describe(
            rpc_timeout=RPC_TIMEOUT
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return WorkflowState.MISSING
    is_running = description.status is WorkflowExecutionStatus.RUNNING
    return WorkflowState.RUNNING if is_running else WorkflowState.ENDED
