"""The patterns of agents: LangGraph graphs that run as workflow code."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.agents.patterns import PatternName
    from workflows.agents.graphs.agent_graph import AGENT_GRAPH
    from workflows.agents.graphs.pattern import Pattern

# The patterns that a spec may name; a name stays as long as runs of the pattern are open.
PATTERNS: dict[str, Pattern] = dict.fromkeys(map(str, PatternName), AGENT_GRAPH)


def find_pattern(name: str) -> Pattern:
    """Return a pattern.

    Raises:
        LookupError: This worker does not have the pattern. It is no failure of the run: Temporal
            retries the workflow task until a worker has it.
    """
    if (pattern := PATTERNS.get(name)) is None:
        raise LookupError(f"this worker does not have the pattern {name}")
    return pattern
