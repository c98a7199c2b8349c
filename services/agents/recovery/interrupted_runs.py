"""Retries at once the steps of agent runs that a dead worker was executing."""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.temporal.interrupted_work import retry_interrupted_activities
from database.agents.agent_runs import AgentRunRepository
from database.session import DATABASE_DOWN, Sessions

_CONCURRENT_COUNT = 20
_DOWN: tuple[type[Exception], ...] = (RPCError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


async def retry_interrupted_runs(client: Client, sessions: Sessions, dead_pid: int) -> None:
    """Retry what a dead worker was executing of the open runs.

    What fails here is logged only: Temporal retries each step by itself once its heartbeats stay
    away.

    Args:
        client: Temporal client.
        sessions: Database sessions.
        dead_pid: Worker process of this machine that is known to have ended.
    """
    slots = asyncio.Semaphore(_CONCURRENT_COUNT)

    async def retry(workflow_id: str) -> int:
        async with slots:
            return await retry_interrupted_activities(client, workflow_id, dead_pid)

    try:
        async with sessions() as session:
            runs = await AgentRunRepository(session).open_runs(None)
        counts = await asyncio.gather(*[retry(run.workflow_id) for run in runs])
    except _DOWN as error:
        log.warning("interrupted_runs_not_retried", error=type(error).__name__)
    except Exception:
        # Reason: the worker serves all the same, and heartbeats reveal what was interrupted.
        log.exception("interrupted_runs_not_retried")
    else:
        log.info("interrupted_runs_retried", dead_pid=dead_pid, step_count=sum(counts))
