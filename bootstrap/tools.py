"""Builds the catalogue of tools, and checks the specs of agents against what there is."""

from agents.registry import all_agents, check_agents
from domain.errors import InvalidInputError
from services.agents.model_calls.output import schema_problems
from services.agents.tools.built_in import BUILT_IN_TOOLS
from services.agents.tools.catalog import ToolCatalog
from workflows.agents.graphs import PATTERNS


def make_tool_catalog() -> ToolCatalog:
    """Make the catalogue of the tools of all sources."""
    return ToolCatalog(BUILT_IN_TOOLS)


def load_agents(tools: ToolCatalog) -> None:
    """Read the specs of all agents before the first run, and check their patterns and tools.

    Raises:
        InvalidInputError: A spec is invalid, or names something that does not exist; the message
            has the file.
    """
    try:
        check_agents(PATTERNS.keys(), tools.names)
        problems = [each for spec in all_agents().values() for each in schema_problems(spec)]
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    if problems:
        raise InvalidInputError(problems[0])
