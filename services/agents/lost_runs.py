"""Runs whose workflow has ended without closing them: terminated, timed out, failed, gone."""

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
from domain.agents.runs import RunEnd, RunStatus
from domain.ids import agent_run_workflow_id
from domain.workflow_names import RUN_NEXT
from services.agents.run_closing import RunClosing

log = structlog.get_logger(__name__)

RPC_TIMEOUT = timedelta(seconds=5)
PAUSE_SECONDS = 3.0
# How far back each look goes: Temporal may list what has ended some seconds later.
LOOK_BACK = timedelta(minutes=2)
# How often every open run is compared, also one whose end no list told.
COMPARE_ALL_EVERY = timedelta(minutes=5)
_ENDED = (
    "WorkflowType = 'AgentRunWorkflow' AND CloseTime > '{since}'"
    " AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed', 'Canceled')"
)


class WorkflowState(Enum):
    """How the workflow of an open run is found."""

    RUNNING = auto()
    ENDED = auto()
    MISSING = auto()


class LostRuns:
    """Finds and closes lost runs.

    Args:
        client: Where the workflows are.
        sessions: Where the runs' rows are.
        closing: Closes a run.
    """

    def __init__(self, client: Client, sessions: Sessions, closing: RunClosing) -> None:
        self._client = client
        self._sessions = sessions
        self._closing = closing

    async def is_lost(self, workflow_id: str) -> bool:
        """Tell whether an open run's workflow does not run any more.

        Raises:
            RPCError: Temporal does not answer.
        """
        return await state_of(self._client, workflow_id) is not WorkflowState.RUNNING

    async def close(self, agent_run_id: UUID) -> None:
        """Write down that a run was ended from outside, and let the next one begin."""
        lost = RunEnd(
            agent_run_id=agent_run_id,
            run_status=RunStatus.FAILED,
            error_code="workflow_terminated",
            error_message="the run was ended from outside",
        )
        closed = await self._closing.close(lost)
        log.warning("lost_run_closed", agent_run_id=str(agent_run_id))
        if closed.next_agent_run_id is not None:
            await self._call_up(closed.next_agent_run_id)

    async def watch(self) -> None:
        """Compare open runs with Temporal every few seconds, until it is called off."""
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
            # Reason: a worker at the wrong server or namespace finds none of them, and must not end
            # them all. The doctor tells of such runs.
            if await state_of(self._client, run.workflow_id) is WorkflowState.ENDED:
                await self.close(run.agent_run_id)

    async def _ended_since(self, since: datetime) -> list[str]:
        query = _ENDED.format(since=since.isoformat())
        try:
            return [each.id async for each in self._client.list_workflows(query)]
        except RPCError as error:
            # Reason: the server that skips time has no lists.
            if error.status is not RPCStatusCode.UNIMPLEMENTED:
                raise
            return []

    async def _call_up(self, agent_run_id: UUID) -> None:
        handle = self._client.get_workflow_handle(agent_run_workflow_id(agent_run_id))
        try:
            await handle.signal(RUN_NEXT, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            # Reason: it also asks by itself whether it is its turn.
            log.info("next_run_not_told", error=error.status.name)


async def state_of(client: Client, workflow_id: str) -> WorkflowState:
    """Look up the workflow of an open run.

    Args:
        client: Where the workflows are.
        workflow_id: The run's.

    Raises:
        RPCError: Temporal does not answer.
    """
    try:
        seen = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return WorkflowState.MISSING
    is_running = seen.status is WorkflowExecutionStatus.RUNNING
    return WorkflowState.RUNNING if is_running else WorkflowState.ENDED
