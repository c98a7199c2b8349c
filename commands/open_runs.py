"""Compare open runs of agents with Temporal, for the doctor."""

from activities.lost_runs import is_lost
from commands.findings import DoubtError
from config import Settings
from database.agent_runs import AgentRunRepository
from database.session import make_engine, make_sessions
from worker import connect

# Reason: the doctor answers within seconds; a worker compares all of them.
MOST_RUNS = 200


async def check_open_runs(settings: Settings) -> str:
    """Look whether each open run still has a workflow.

    Args:
        settings: Where the database and Temporal are.

    Returns:
        How many are open.

    Raises:
        DoubtError: Some have none: no worker closes them.
        RuntimeError: Temporal is not to be reached.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            runs = await AgentRunRepository(session).open_runs(None)
    finally:
        await engine.dispose()
    if not runs:
        return "none is open"
    client = await connect(settings)
    lost = [run for run in runs[:MOST_RUNS] if await is_lost(client, run.workflow_id)]
    if not lost:
        return f"{len(runs)} open, each with its workflow"
    raise DoubtError(
        f"{len(lost)} of {len(runs)} open runs have no workflow any more, such as "
        f"{lost[0].agent_run_id}: a worker that serves the queue `agents` closes them in seconds"
    )
