"""The part of an agent's spec that a run keeps from its beginning, with its whole team. Pure."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from domain.base import Frozen

# The pattern of agents whose spec names none, and of runs from before runs kept their pattern.
DEFAULT_PATTERN = "pipeline"
MAX_MEMBERS = 16


class FailurePolicy(StrEnum):
    """What a run does when a member of its team did not complete."""

    FAIL = "fail"
    SKIP = "skip"
    QUORUM = "quorum"


class Budget(Frozen):
    """Limits of one run; None means no own limit, and the plan's limits apply in any case."""

    token_count: int | None = Field(default=None, gt=0)
    cost_cents: int | None = Field(default=None, gt=0)


class TeamRules(Frozen):
    """The team of an agent: whose runs its own run begins, and within which limits.

    All runs of a team together stay within the budget of the run that a user has started.

    Args:
        members: Names of the agents, in the order in which a pipeline asks them.
        on_failure: What to do when a member did not complete: end the run, go on without it, or
            go on if at least `quorum` members completed.
        quorum: How many members have to complete; with `quorum` only.
        max_parallel: Most members that work at the same time.
        max_runs: Most runs that one run begins.
        max_hops: Most hand-overs between peers.
        member_budget: A budget of each member's run, beside the one that all share.
    """

    members: tuple[str, ...] = Field(min_length=1, max_length=MAX_MEMBERS)
    on_failure: FailurePolicy = FailurePolicy.FAIL
    quorum: int | None = Field(default=None, ge=1)
    max_parallel: int = Field(default=4, ge=1, le=MAX_MEMBERS)
    max_runs: int = Field(default=20, ge=1, le=100)
    max_hops: int = Field(default=8, ge=1, le=50)
    member_budget: Budget = Budget()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.members)) < len(self.members):
            raise ValueError("a member is named twice")
        if (self.quorum is None) == (self.on_failure is FailurePolicy.QUORUM):
            raise ValueError("quorum goes with on_failure = 'quorum', and only with it")
        if self.quorum is not None and self.quorum > len(self.members):
            raise ValueError("quorum is larger than the team")
        return self


class Route(Frozen):
    """The part of the agent's spec that the graph needs; a run keeps the values it began with.

    Args:
        pattern: Name of the graph in `workflows/agents/graphs`.
        has_retrieval: Whether passages are retrieved before the first step.
        max_step_count: Most model calls of the run.
        team: Rules of the agent's team; None if it works alone.
        members: The team's members, in the order of the rules.
    """

    pattern: str = DEFAULT_PATTERN
    has_retrieval: bool = True
    max_step_count: int = Field(default=12, gt=0)
    team: TeamRules | None = None
    members: tuple["Member", ...] = ()

    @property
    def most_steps(self) -> int:
        """Most steps of the graph: calls of the run's own model, and steps that rules plan."""
        if self.team is None:
            return self.max_step_count
        return self.max_step_count + len(self.members) + self.team.max_hops + 1

    def member(self, agent: str | None) -> "Member | None":
        """Return a member of the team; None if it has no such member."""
        return next((each for each in self.members if each.agent == agent), None)


class Member(Frozen):
    """A member of a team: its agent, pinned at the beginning of the run that leads the team."""

    agent: str
    prompt_version: str
    route: Route
