"""Compares open agent runs with their workflows in Temporal, for `doctor`."""

from collections.abc import Sequence

from bootstrap.clients import connect_temporal, open_sessions
from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from services.agents.recovery.lost_runs import WorkflowState, state_of

# Reason: `doctor` has to answer within seconds; a worker compares all open runs.
MAX_RUNS = 200


async def check_open_runs(settings: Settings) -> str:
    """Check that each open agent run has a running workflow.

    Args:
        settings: Settings of the database and of Temporal.

    Returns:
        The number of open runs, as a line.

    Raises:
        CheckDoubtfulError: The workflow of an open run is missing or has ended.
        ConnectError: Temporal cannot be reached.
    """
    async with open_sessions(settings) as sessions, sessions() as session:
        runs = await AgentRunRepository(session).open_runs(None)
    if not runs:
        return "no run is open"
    client = await connect_temporal(settings)
    ended, missing = [], []
    for run in runs[:MAX_RUNS]:
        state = await state_of(client, run.workflow_id)
        ended += [run] if state is WorkflowState.ENDED else []
        missing += [run] if state is WorkflowState.MISSING else []
    problems = [
        *_problem(
            ended, "have a workflow that has ended: a worker of the task queue `agents` closes them"
        ),
        *_problem(missing, "have no workflow at this address and namespace: cancel them"),
    ]
    if not problems:
        checked = f", the first {MAX_RUNS} checked" if len(runs) > MAX_RUNS else ""
        return f"{len(runs)} open, each with its workflow{checked}"
    raise CheckDoubtfulError("; ".join(problems))


def _problem(runs: Sequence[AgentRun], text: str) -> list[str]:
    return [f"{len(runs)} {text} (such as {runs[0].agent_run_id})"] if runs else []
