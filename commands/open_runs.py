"""Compare open runs of agents with Temporal, for the doctor."""

from collections.abc import Sequence

from bootstrap.clients import connect_temporal
from commands.findings import CheckDoubtfulError
from config import Settings
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from database.session import make_engine, make_sessions
from services.agents.lost_runs import WorkflowState, state_of

# Reason: the doctor answers within seconds; a worker compares all of them.
MOST_RUNS = 200


async def check_open_runs(settings: Settings) -> str:
    """Look whether each open run still has a workflow.

    Args:
        settings: Where the database and Temporal are.

    Returns:
        How many are open.

    Raises:
        CheckDoubtfulError: Some have none, or one that has ended.
        RuntimeError: Temporal cannot be reached.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            runs = await AgentRunRepository(session).open_runs(None)
    finally:
        await engine.dispose()
    if not runs:
        return "none is open"
    client = await connect_temporal(settings)
    ended, missing = [], []
    for run in runs[:MOST_RUNS]:
        state = await state_of(client, run.workflow_id)
        ended += [run] if state is WorkflowState.ENDED else []
        missing += [run] if state is WorkflowState.MISSING else []
    told = [
        *_told(ended, "have a workflow that has ended: a worker that serves `agents` closes them"),
        *_told(missing, "have no workflow at this address and namespace: cancel them"),
    ]
    if not told:
        return f"{len(runs)} open, each with its workflow"
    raise CheckDoubtfulError("; ".join(told))


def _told(runs: Sequence[AgentRun], what: str) -> list[str]:
    return [f"{len(runs)} {what} (such as {runs[0].agent_run_id})"] if runs else []
