"""Counts the tool calls of which nobody knows whether they were done, for `doctor`."""

from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.agents.tool_outcomes import ToolOutcomeRepository
from database.session import make_engine, make_sessions

PAGE = "docs/agents.md"


async def check_tool_outcomes(settings: Settings) -> str:
    """Check that the outcome of every tool call is known.

    Args:
        settings: Settings of the database.

    Returns:
        "all known".

    Raises:
        CheckDoubtfulError: A person has to tell outcomes.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            count = await ToolOutcomeRepository(session).count_unknown()
    finally:
        await engine.dispose()
    if not count:
        return "all known"
    raise CheckDoubtfulError(f"{count} unknown; `GET tool-calls` lists them, see {PAGE}")
