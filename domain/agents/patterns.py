"""What the patterns of agents do next, and when members that failed end a run. Pure.

The graph of a team makes the moves that are decided here. In some patterns a model plans them by
its tool calls, in others these rules do, from what the members have brought so far.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from domain.agents.routes import FailurePolicy, TeamRules
from domain.agents.runs import RunStatus
from domain.base import Frozen
from domain.errors import BudgetExceededError

# The tool by which the model that leads a team asks a member, and the one by which a peer passes
# its task on.
DELEGATE = "delegate"
HAND_OVER = "hand_over"

MEMBER_FAILED = "member_failed"
QUORUM_NOT_REACHED = "quorum_not_reached"
NO_ANSWER = "no_member_answered"
HOP_LIMIT = "hop_limit_reached"

# How deep teams may be nested: the run that a user starts has depth 0.
MAX_DEPTH = 3


class PatternName(StrEnum):
    """The patterns that come with the product."""

    PIPELINE = "pipeline"
    SUPERVISOR = "supervisor"
    HUB_AND_SPOKE = "hub_and_spoke"
    PEER_TO_PEER = "peer_to_peer"
    HIERARCHICAL = "hierarchical"


# Patterns in which the run's own model plans by calls of `delegate`.
MODEL_PLANNED = frozenset({PatternName.SUPERVISOR, PatternName.HIERARCHICAL})
# Patterns that are nothing without a team; a pipeline without one is a single agent.
NEEDS_TEAM = frozenset(set(PatternName) - {PatternName.PIPELINE})
_POLICIES = {
    PatternName.PIPELINE: {FailurePolicy.FAIL, FailurePolicy.SKIP},
    PatternName.SUPERVISOR: {FailurePolicy.FAIL, FailurePolicy.SKIP},
    PatternName.HUB_AND_SPOKE: set(FailurePolicy),
    PatternName.PEER_TO_PEER: {FailurePolicy.FAIL},
    PatternName.HIERARCHICAL: {FailurePolicy.FAIL, FailurePolicy.SKIP},
}


class MemberEnd(Frozen):
    """How the run of a member ended.

    Args:
        agent: Name of the member.
        run_status: Final status; `failed` too if the run was refused or lost.
        handed_to: The peer to which it handed over; None if it answered.
    """

    agent: str
    run_status: RunStatus
    handed_to: str | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the member did what it was asked."""
        return self.run_status is RunStatus.COMPLETED


class Move(Frozen):
    """The next move of a team.

    Args:
        members: Members whose runs begin now, at the same time.
        answered_by: Index of the end whose output is the run's answer.
        error_code: Why there is nothing left to do.
    """

    members: tuple[str, ...] = ()
    answered_by: int | None = None
    error_code: str | None = None


def is_planned_by_rule(pattern: str, step: int) -> bool:
    """Tell whether these rules plan a step; else the run's own model does."""
    if pattern == PatternName.HUB_AND_SPOKE:
        return step == 0
    return pattern in {PatternName.PIPELINE, PatternName.PEER_TO_PEER}


def next_move(pattern: str, team: TeamRules, ends: Sequence[MemberEnd]) -> Move:
    """Plan a step of a pattern whose steps are planned by rule.

    Args:
        pattern: Name of the pattern.
        team: Rules of the team.
        ends: How the members' runs ended so far, in the order in which they began.
    """
    if pattern == PatternName.HUB_AND_SPOKE:
        return Move(members=team.members)
    if pattern == PatternName.PEER_TO_PEER:
        return _next_peer(team, ends)
    return _next_stage(team, ends)


def _next_peer(team: TeamRules, ends: Sequence[MemberEnd]) -> Move:
    """Go on with the peer to whom the last one handed over, or end with its answer."""
    if not ends:
        return Move(members=team.members[:1])
    last = ends[-1]
    if last.handed_to is None:
        return Move(answered_by=len(ends) - 1)
    if len(ends) > team.max_hops:
        return Move(error_code=HOP_LIMIT)
    return Move(members=(last.handed_to,))


def _next_stage(team: TeamRules, ends: Sequence[MemberEnd]) -> Move:
    """Go on with the next stage, or end with the answer of the last stage that completed."""
    if len(ends) < len(team.members):
        return Move(members=(team.members[len(ends)],))
    completed = [index for index, end in enumerate(ends) if end.is_completed]
    return Move(answered_by=completed[-1]) if completed else Move(error_code=NO_ANSWER)


def failure_of_members(team: TeamRules, ends: Sequence[MemberEnd]) -> str | None:
    """Return the code of the error by which members that did not complete end the run.

    Args:
        team: Rules of the team.
        ends: How the members' runs of one step ended.

    Returns:
        The code; None if the run goes on.
    """
    failed = [end for end in ends if not end.is_completed]
    match team.on_failure:
        case FailurePolicy.SKIP:
            return None
        case FailurePolicy.QUORUM:
            is_reached = len(ends) - len(failed) >= (team.quorum or 0)
            return None if is_reached else QUORUM_NOT_REACHED
        case FailurePolicy.FAIL:
            if not failed:
                return None
    has_own_budget = team.member_budget.token_count or team.member_budget.cost_cents
    is_out = any(end.run_status is RunStatus.BUDGET_EXCEEDED for end in failed)
    return BudgetExceededError.code if is_out and not has_own_budget else MEMBER_FAILED


def is_decided(team: TeamRules, member_count: int, ends: Sequence[MemberEnd]) -> bool:
    """Tell whether members that still work can change nothing about a step's failure.

    Args:
        team: Rules of the team.
        member_count: Number of the step's members.
        ends: How the runs that have ended so far ended.
    """
    failed_count = sum(not end.is_completed for end in ends)
    match team.on_failure:
        case FailurePolicy.SKIP:
            return False
        case FailurePolicy.QUORUM:
            return member_count - failed_count < (team.quorum or 0)
        case FailurePolicy.FAIL:
            return failed_count > 0


def team_problem(pattern: str, team: TeamRules | None) -> str | None:
    """Return why a pattern and a team do not go together; None if they do.

    Args:
        pattern: Name of a pattern; one of somebody else's takes any team.
        team: Rules of the team; None if the agent works alone.
    """
    if pattern not in set(PatternName):
        return None
    name = PatternName(pattern)
    if team is None:
        return f"the pattern {name} needs a [team]" if name in NEEDS_TEAM else None
    if team.on_failure not in _POLICIES[name]:
        allowed = ", ".join(sorted(_POLICIES[name]))
        return f"on_failure of the pattern {name} is one of: {allowed}"
    return None


def nesting_problem(agent: str, teams: Mapping[str, Sequence[str]]) -> str | None:
    """Return why the team of an agent is nested wrongly; None if it is not.

    Args:
        agent: Name of the agent.
        teams: Names of the members of each agent; all of them are keys.
    """
    level = [agent]
    for _ in range(MAX_DEPTH):
        level = [member for leader in level for member in teams[leader]]
        if agent in level:
            return "the agent is, over some others, a member of its own team"
    if any(teams[leader] for leader in level):
        return f"teams are nested more than {MAX_DEPTH} deep"
    return None
