"""What teams do next, when failed members end a run, and which teams can be."""

from itertools import product

import pytest
from pydantic import ValidationError

from domain.agents.patterns import (
    HOP_LIMIT,
    MEMBER_FAILED,
    NO_ANSWER,
    QUORUM_NOT_REACHED,
    MemberEnd,
    Move,
    PatternName,
    failure_of_members,
    is_decided,
    is_planned_by_rule,
    nesting_problem,
    next_move,
    team_problem,
)
from domain.agents.routes import Budget, FailurePolicy, Member, Route, TeamRules
from domain.agents.runs import CLOSED, RunStatus

ABC = TeamRules(members=("a", "b", "c"))
DONE, LOST = RunStatus.COMPLETED, RunStatus.FAILED


def end(agent: str, status: RunStatus = DONE, to: str | None = None) -> MemberEnd:
    return MemberEnd(agent=agent, run_status=status, handed_to=to)


def rules(policy: FailurePolicy, quorum: int | None = None, **more: object) -> TeamRules:
    facts = {"members": ("a", "b", "c"), "on_failure": policy, "quorum": quorum, **more}
    return TeamRules.model_validate(facts)


def test_a_pipeline_asks_its_members_one_after_the_other() -> None:
    ends: list[MemberEnd] = []
    for name in ABC.members:
        assert next_move(PatternName.PIPELINE, ABC, ends) == Move(members=(name,))
        ends.append(end(name))
    assert next_move(PatternName.PIPELINE, ABC, ends) == Move(answered_by=2)


def test_a_pipeline_answers_with_the_last_stage_that_completed() -> None:
    ends = [end("a"), end("b", LOST), end("c", LOST)]
    assert next_move(PatternName.PIPELINE, ABC, ends) == Move(answered_by=0)
    lost = [end(name, LOST) for name in ABC.members]
    assert next_move(PatternName.PIPELINE, ABC, lost) == Move(error_code=NO_ANSWER)


def test_a_hub_asks_all_at_once_and_then_its_model() -> None:
    assert next_move(PatternName.HUB_AND_SPOKE, ABC, []) == Move(members=ABC.members)
    assert is_planned_by_rule(PatternName.HUB_AND_SPOKE, 0)
    assert not is_planned_by_rule(PatternName.HUB_AND_SPOKE, 1)


def test_peers_pass_the_task_on_until_one_answers_or_too_often() -> None:
    team = rules(FailurePolicy.FAIL, max_hops=2)
    ends: list[MemberEnd] = []
    assert next_move(PatternName.PEER_TO_PEER, team, ends) == Move(members=("a",))
    ends = [end("a", to="c")]
    assert next_move(PatternName.PEER_TO_PEER, team, ends) == Move(members=("c",))
    assert next_move(PatternName.PEER_TO_PEER, team, [*ends, end("c")]) == Move(answered_by=1)
    ends = [end("a", to="c"), end("c", to="b"), end("b", to="a")]
    assert next_move(PatternName.PEER_TO_PEER, team, ends) == Move(error_code=HOP_LIMIT)


@pytest.mark.parametrize("step", range(3))
def test_who_plans_a_step(step: int) -> None:
    planned = {name for name in PatternName if is_planned_by_rule(name, step)}
    always = {PatternName.PIPELINE, PatternName.PEER_TO_PEER}
    assert planned == (always | {PatternName.HUB_AND_SPOKE} if step == 0 else always)


@pytest.mark.parametrize("statuses", [*product([DONE, LOST, RunStatus.CANCELED], repeat=3)])
def test_when_members_that_failed_end_the_run(statuses: tuple[RunStatus, ...]) -> None:
    ends = [end(name, status) for name, status in zip("abc", statuses, strict=True)]
    failed = sum(status is not DONE for status in statuses)
    assert failure_of_members(rules(FailurePolicy.SKIP), ends) is None
    assert (failure_of_members(rules(FailurePolicy.FAIL), ends) == MEMBER_FAILED) == (failed > 0)
    for quorum in (1, 2, 3):
        team = rules(FailurePolicy.QUORUM, quorum)
        code = failure_of_members(team, ends)
        assert code == (QUORUM_NOT_REACHED if 3 - failed < quorum else None)
        # What is decided early is what the end says.
        for known in range(4):
            if is_decided(team, 3, ends[:known]):
                assert code == QUORUM_NOT_REACHED
    assert is_decided(rules(FailurePolicy.FAIL), 3, ends) == (failed > 0)
    assert not is_decided(rules(FailurePolicy.SKIP), 3, ends)


def test_a_shared_budget_that_is_used_up_ends_the_leader_as_it_ended_the_member() -> None:
    ends = [end("a"), end("b", RunStatus.BUDGET_EXCEEDED)]
    assert failure_of_members(rules(FailurePolicy.FAIL), ends) == "budget_exceeded"
    for budget in (Budget(token_count=5), Budget(cost_cents=5)):
        own = rules(FailurePolicy.FAIL, member_budget=budget)
        assert failure_of_members(own, ends) == MEMBER_FAILED


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": ()},
        {"members": tuple("abcdefghijklmnopq")},
        {"members": ("a", "a")},
        {"members": ("a",), "on_failure": "quorum"},
        {"members": ("a",), "quorum": 1},
        {"members": ("a",), "on_failure": "quorum", "quorum": 2},
        {"members": ("a",), "max_parallel": 0},
        {"members": ("a",), "max_runs": 0},
        {"members": ("a",), "max_hops": 0},
        {"members": ("a",), "on_failure": "hope"},
    ],
)
def test_a_team_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TeamRules.model_validate(wrong)


def test_which_policies_a_pattern_takes() -> None:
    allowed = {
        name: {
            policy
            for policy in FailurePolicy
            if team_problem(name, rules(policy, 2 if policy is FailurePolicy.QUORUM else None))
            is None
        }
        for name in PatternName
    }
    both = {FailurePolicy.FAIL, FailurePolicy.SKIP}
    assert allowed == {
        PatternName.PIPELINE: both,
        PatternName.SUPERVISOR: both,
        PatternName.HIERARCHICAL: both,
        PatternName.HUB_AND_SPOKE: set(FailurePolicy),
        PatternName.PEER_TO_PEER: {FailurePolicy.FAIL},
    }


def test_which_patterns_need_a_team() -> None:
    alone = {name for name in PatternName if team_problem(name, None) is None}
    assert alone == {PatternName.PIPELINE}
    assert team_problem("somebody's own", None) is None
    assert team_problem("somebody's own", ABC) is None


def test_teams_are_nested_three_deep_at_the_most_and_never_in_a_circle() -> None:
    chain = {"a": ("b",), "b": ("c",), "c": ("d",), "d": ()}
    assert nesting_problem("a", chain) is None
    deep = chain | {"d": ("e",), "e": ()}
    assert "more than 3 deep" in str(nesting_problem("a", deep))
    assert nesting_problem("b", deep) is None
    for circle in ({"a": ("a",)}, {"a": ("b",), "b": ("a",)}, chain | {"c": ("a",)}):
        assert "its own team" in str(nesting_problem("a", circle))
    assert "more than 3 deep" in str(nesting_problem("a", {"a": ("b",), "b": ("b",)}))


def test_a_route_finds_its_members_and_counts_its_steps() -> None:
    member = Member(agent="a", prompt_version="v1", route=Route())
    route = Route(team=TeamRules(members=("a",), max_hops=3), members=(member,))
    assert route.member("a") == member
    assert route.member("b") is None
    assert route.member(None) is None
    assert (Route().most_steps, route.most_steps) == (12, 17)
    again = Route.model_validate_json(route.model_dump_json())
    assert again == route


def test_only_a_completed_run_is_completed() -> None:
    assert {status for status in CLOSED if end("a", status).is_completed} == {DONE}
