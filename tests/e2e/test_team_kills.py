"""The worker killed with SIGKILL while teams work: each of the five patterns ends right, once."""

import random
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.api.agents.test_teams import (
    ANALYSIS,
    CHANGE,
    CHART,
    CODERS,
    DESK,
    HISTORY,
    REPORT,
    RESEARCH,
    REVIEW,
    TRIAGE,
    delegate,
)
from tests.conftest import Measure
from tests.e2e.agents import ENDED, Asker, audit_usage
from tests.e2e.client import Document, World
from tests.e2e.running import wait_for

SEED = 2026
ANSWER = "All of it is said and done by now."
# So slow is the first call of each member that all of them are under way at the same time.
SLOW_TOKEN_SECONDS, QUICK_TOKEN_SECONDS = 0.6, 0.02
TOKEN_SECONDS = 0.25
# How long all five teams need if nothing goes wrong.
USUAL_SECONDS = 6.0
MOMENT_COUNT = 12


class Team(NamedTuple):
    """A team of one pattern.

    Args:
        agent: Its leader.
        orders: Tasks that leaders give, by words of the leader's prompt.
        members: The agents of all runs below the leader's, sorted.
        speaker: Words of the prompt of a member that speaks first.
    """

    agent: str
    orders: dict[str, tuple[str, str]]
    members: list[str]
    speaker: str


TEAMS = {
    "supervisor": Team(
        "research_report", {REPORT: ("research", "find it")}, ["research"], RESEARCH
    ),
    "pipeline": Team("data_report", {}, ["analysis", "chart_maker"], ANALYSIS),
    "hub_and_spoke": Team("dispute_triage", {}, ["analysis", "case_history", "research"], HISTORY),
    "peer_to_peer": Team("help_desk", {}, ["front_desk"], DESK),
    "hierarchical": Team(
        "code_change",
        {CHANGE: ("coding_team", "do it"), CODERS: ("code_review", "read it")},
        ["code_review", "coding_team"],
        REVIEW,
    ),
}
SPEAKERS = (RESEARCH, ANALYSIS, CHART, HISTORY, TRIAGE, DESK, REVIEW)
# Members of two of the teams.
SHARED = (RESEARCH, ANALYSIS)


@pytest.fixture(scope="module")
def asker(world: World) -> Asker:
    return Asker(world)


def start_all(asker: Asker, first_seconds: float, later_seconds: float) -> dict[str, Document]:
    """Begin a run of each pattern.

    Args:
        asker: Whoever asks.
        first_seconds: How long a token of the first call of each member takes.
        later_seconds: How long a token of all other calls takes.
    """
    world = asker.world
    world.llm.reset()
    first = {"text": ANSWER, "token_seconds": first_seconds}
    later = {"text": ANSWER, "token_seconds": later_seconds, "repeat": 99}
    for team in TEAMS.values():
        for words, task in team.orders.items():
            # Reason: the order is told by its text, for it may be given twice if the worker dies.
            ordered = f"I let somebody {uuid4().hex}."
            world.llm.script(ordered, later)
            world.llm.script(words, {**delegate(task), "text": ordered, "repeat": 99})
    for words in SPEAKERS:
        world.llm.script(words, {**first, "repeat": 2 if words in SHARED else 1}, later)
    return {
        pattern: asker.customer.post("agent-runs", agent=team.agent, input="What about it?")
        for pattern, team in TEAMS.items()
    }


def tree(asker: Asker, run: Document) -> Iterator[Document]:
    """Yield all runs below a run."""
    for child in asker.customer.items(f"agent-runs/{run['agent_run_id']}/children"):
        yield child
        yield from tree(asker, child)


def audit(asker: Asker, pattern: str, run: Document) -> int:
    """Check how a team ended; return how many calls of models were made again."""
    below = list(tree(asker, run))
    assert (run["run_status"], run["output"]) == ("completed", ANSWER), (pattern, run)
    assert sorted(child["agent"] for child in below) == TEAMS[pattern].members
    again = 0
    for each in (run, *below):
        assert (each["run_status"], each["output"]) == ("completed", ANSWER), (pattern, each)
        with asker.following(each) as stream:
            told = [heard.event for heard in stream.result()]
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1)), "no gap"
        assert [event["kind"] for event in told].count("done") == 1
        calls = [step["model_calls"] for step in asker.steps(each)]
        again += sum(len(made) - 1 for made in calls if made)
    for child in below:
        audit_usage(asker, child)
    return again


def finish_all(asker: Asker, runs: dict[str, Document]) -> dict[str, int]:
    """Wait for the ends of all teams, and check them."""
    ended = {pattern: asker.wait(run, *ENDED) for pattern, run in runs.items()}
    return {pattern: audit(asker, pattern, run) for pattern, run in ended.items()}


def test_killed_while_members_speak(world: World, asker: Asker, measure: Measure) -> None:
    """One kill meets all five patterns."""
    began = time.monotonic()
    runs = start_all(asker, SLOW_TOKEN_SECONDS, QUICK_TOKEN_SECONDS)
    for team in TEAMS.values():
        # Reason: in a printed request an apostrophe is escaped.
        words = team.speaker.partition("'")[2] or team.speaker
        wait_for(words, partial(world.llm.calls, words))
    world.stack.kill_and_wait("worker")
    again = finish_all(asker, runs)
    measure(
        f"worker killed under five teams: {time.monotonic() - began:.1f} s, {again} asked again"
    )
    assert all(again.values()), again


@pytest.mark.soak
def test_killed_at_every_moment(world: World, asker: Asker, measure: Measure) -> None:
    dice = random.Random(SEED)  # noqa: S311
    places = [(place + dice.random()) / MOMENT_COUNT for place in range(MOMENT_COUNT)]
    lines = []
    for place in places:
        began = time.monotonic()
        runs = start_all(asker, TOKEN_SECONDS, TOKEN_SECONDS)
        time.sleep(max(0.0, began + place * USUAL_SECONDS - time.monotonic()))
        world.stack.kill_and_wait("worker")
        again = finish_all(asker, runs)
        seconds = time.monotonic() - began
        at, calls = place * USUAL_SECONDS, sum(again.values())
        lines.append(f"  at {at:3.1f} s: {calls} calls again, {seconds:.1f} s")
    ends = len(lines) * len(TEAMS)
    measure("\n".join([f"seed {SEED}, worker killed under five teams, {ends} right ends:", *lines]))
