"""Counts tool calls with an unknown outcome, and finds tools that are held, for `doctor`."""

import asyncio

from bootstrap.tools import mcp_folder, read_mcp_servers, tool_sources
from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.agents.tool_outcomes import ToolOutcomeRepository
from database.session import make_engine, make_sessions
from services.agents.tools.mcp.agreed import read_agreed
from services.agents.tools.mcp.servers import describe_server

PAGE = "docs/agents.md"


async def check_tools(settings: Settings) -> str:
    """Check that the outcome of every tool call is known, and that no tool is held.

    Args:
        settings: Settings of the database and of the tools.

    Returns:
        "all outcomes known, no tool held".

    Raises:
        CheckDoubtfulError: A person has to tell outcomes, or to agree to tools.
    """
    sources = tool_sources(settings.egress.allowed_private_hosts)
    folder = settings.tools.mcp_folder
    agreed = read_agreed(mcp_folder(folder))
    asking = [
        describe_server(server, agreed.get(server.name, {}))
        for server in read_mcp_servers(folder, sources)
        if not isinstance(server, str)  # Reason: the check `agents` tells of wrong files.
    ]
    problems = [line for lines in await asyncio.gather(*asking) for line in lines]
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            count = await ToolOutcomeRepository(session).count_unknown()
    finally:
        await engine.dispose()
    if count:
        problems.append(f"{count} unknown outcomes; `GET tool-calls` lists them, see {PAGE}")
    if problems:
        raise CheckDoubtfulError("; ".join(problems))
    return "all outcomes known, no tool held"
