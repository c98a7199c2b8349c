"""Sends commands to the workflows of agent runs, and reads the runs afterwards."""

from datetime import timedelta
from typing import Any

from temporalio.client import Client

from adapters.temporal.calls import naming_pending
from api.commands import send_command
from api.idempotency import Claim
from api.queries.agent_runs import find_agent_run, read_run
from api.schemas.agent_runs import AgentRunOut
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.runs import CLOSED
from domain.errors import IllegalCommandError


async def send_to_run(
    temporal: Client,
    sessions: Sessions,
    run: AgentRun,
    update: Any,
    argument: Any,
    claim: Claim,
    within: timedelta,
) -> None:
    """Send a command to the workflow of a run."""

    async def refusal() -> IllegalCommandError | None:
        row = await find_agent_run(sessions, run.agent_run_id, None)
        if row.run_status not in CLOSED:
            return None
        state = {"run_status": row.run_status}
        return IllegalCommandError(f"the run is {row.run_status}", details=state)

    handle = temporal.get_workflow_handle(run.workflow_id)
    with naming_pending(agent_run_id=run.agent_run_id):
        await send_command(handle, update, argument, claim.command_id, refusal, within)


async def read_now(sessions: Sessions, run: AgentRun) -> AgentRunOut:
    """Return a run as it is now."""
    return await read_run(sessions, await find_agent_run(sessions, run.agent_run_id, None))
