"""The patterns of agents, and runs from before runs kept their pattern."""

import pytest

from domain.agents.routes import Route
from workflows.agents.graphs import PATTERNS, find_pattern


def test_a_route_of_an_older_run_is_the_pipelines() -> None:
    route = Route.model_validate({"has_retrieval": True, "max_step_count": 12})
    assert find_pattern(route.pattern) is PATTERNS["pipeline"]


def test_a_pattern_that_this_worker_lacks_is_named() -> None:
    with pytest.raises(LookupError, match="this worker does not have the pattern swarm"):
        find_pattern("swarm")
