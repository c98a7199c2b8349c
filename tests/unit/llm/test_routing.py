"""Which model answers, and when none is asked for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.llm.circuit_breaker import (
    Breaker,
    BreakerRules,
    BreakerState,
    admit,
    fail,
    release,
    succeed,
)
from domain.llm.messages import Difficulty, ProviderSlot
from domain.llm.routing import FAILURES_BEFORE_FALLBACK, ModelNames, Target, is_failure, route

NAMES = ModelNames(small="s", large="l", fallback="f")
LONELY = ModelNames(small="s", large="l")
TWO = ModelNames(small="s", large="l", second_small="s", second_large="b")
RULES = BreakerRules(failure_count=3, cool_down_seconds=30, probe_seconds=2)


@pytest.mark.parametrize(
    ("names", "difficulty", "failure_count", "model"),
    [
        (NAMES, Difficulty.SMALL, 0, "s"),
        (NAMES, Difficulty.LARGE, 0, "l"),
        (NAMES, Difficulty.SMALL, FAILURES_BEFORE_FALLBACK - 1, "s"),
        (NAMES, Difficulty.LARGE, FAILURES_BEFORE_FALLBACK - 1, "l"),
        (NAMES, Difficulty.SMALL, FAILURES_BEFORE_FALLBACK, "f"),
        (NAMES, Difficulty.LARGE, FAILURES_BEFORE_FALLBACK + 5, "f"),
        (LONELY, Difficulty.SMALL, FAILURES_BEFORE_FALLBACK, "s"),
        (LONELY, Difficulty.LARGE, FAILURES_BEFORE_FALLBACK + 5, "l"),
    ],
)
def test_routes(names: ModelNames, difficulty: Difficulty, failure_count: int, model: str) -> None:
    assert route(names, difficulty, failure_count) == Target(model=model)


def second(model: str) -> Target:
    return Target(model=model, slot=ProviderSlot.FALLBACK)


@pytest.mark.parametrize(
    ("difficulty", "failure_count", "target"),
    [
        (Difficulty.SMALL, 0, Target(model="s")),
        (Difficulty.LARGE, 1, Target(model="l")),
        (Difficulty.SMALL, 2, second("s")),
        (Difficulty.LARGE, 3, second("b")),
        (Difficulty.LARGE, 4, Target(model="l")),
        (Difficulty.LARGE, 6, second("b")),
    ],
)
def test_two_providers_take_turns(
    difficulty: Difficulty, failure_count: int, target: Target
) -> None:
    assert route(TWO, difficulty, failure_count) == target


def test_a_second_provider_needs_no_small_model() -> None:
    names = TWO.model_copy(update={"second_small": None})
    assert route(names, Difficulty.SMALL, 2) == second("b")


def test_a_model_that_is_shut_is_asked_only_if_there_is_no_other() -> None:
    first, other = Target(model="l"), second("b")
    for shut, count, expected in [
        ({first}, 0, other),
        ({other}, 2, first),
        ({first, other}, 0, first),
        ({first, other}, 2, other),
    ]:
        assert route(TWO, Difficulty.LARGE, count, shut.__contains__) == expected


def test_one_name_at_two_providers_is_two_models() -> None:
    assert Target(model="m").label == "m"
    assert second("m").label == "fallback/m"


def test_a_rate_limit_does_not_speak_against_a_model() -> None:
    assert not is_failure("model_rate_limited")
    assert is_failure("model_unavailable")
    assert is_failure("model_stream_incomplete")
    assert is_failure("model_circuit_open")


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker()
    for number in range(RULES.failure_count):
        assert breaker.state is BreakerState.CLOSED
        breaker = fail(breaker, RULES, at, f"run {number}")
    return breaker


def test_failures_of_several_runs_in_a_row_open_it() -> None:
    assert opened().state is BreakerState.OPEN
    breaker = fail(fail(Breaker(), RULES, 1, "a"), RULES, 2, "b")
    assert breaker.state is BreakerState.CLOSED
    assert admit(breaker, RULES, 2) == (breaker, 0)
    assert fail(succeed(), RULES, 3, "c").state is BreakerState.CLOSED


def test_one_run_that_fails_again_and_again_shuts_out_nobody() -> None:
    breaker = Breaker()
    for at in range(100):
        breaker = fail(breaker, RULES, at, "odd")
        assert breaker.state is BreakerState.CLOSED


def test_what_says_nothing_changes_nothing() -> None:
    breaker = fail(fail(Breaker(), RULES, 1, "a"), RULES, 2, "b")
    assert release(breaker) == breaker


def test_open_it_says_how_long_to_wait() -> None:
    breaker = opened(at=100)
    assert admit(breaker, RULES, 100) == (breaker, 30)
    assert admit(breaker, RULES, 129.5) == (breaker, 0.5)


def test_calls_that_began_before_it_opened_do_not_prolong_the_wait() -> None:
    breaker = fail(opened(at=100), RULES, 120, "late")
    assert admit(breaker, RULES, 120) == (breaker, 10)


def test_after_the_cool_down_one_call_tries_and_the_others_wait() -> None:
    probing, wait = admit(opened(at=100), RULES, 130)
    assert (probing.state, wait) == (BreakerState.HALF_OPEN, 0)
    assert admit(probing, RULES, 131) == (probing, RULES.probe_seconds)


def test_a_good_probe_closes_it() -> None:
    assert succeed() == Breaker()


def test_a_bad_probe_opens_it_anew() -> None:
    probing, _ = admit(opened(at=100), RULES, 130)
    breaker = fail(probing, RULES, 140, "probe")
    assert breaker.state is BreakerState.OPEN
    assert admit(breaker, RULES, 140) == (breaker, 30)


def test_a_probe_that_says_nothing_lets_the_next_one_try() -> None:
    probing, _ = admit(opened(at=100), RULES, 130)
    again, wait = admit(release(probing), RULES, 131)
    assert (again.state, again.is_probing, wait) == (BreakerState.HALF_OPEN, True, 0)


@given(st.lists(st.tuples(st.sampled_from(["good", "bad", "silent"]), st.floats(0, 60))))
def test_it_never_stays_shut(story: list[tuple[str, float]]) -> None:
    """Whatever happened, after the cool-down and once no call is under way, one is let through."""
    breaker, now = Breaker(), 0.0
    for outcome, pause in story:
        now += pause
        breaker, wait = admit(breaker, RULES, now)
        assert 0 <= wait <= RULES.cool_down_seconds
        if wait == 0:
            ends = {
                "good": succeed(),
                "bad": fail(breaker, RULES, now, f"{now}"),
                "silent": release(breaker),
            }
            breaker = ends[outcome]
    assert admit(breaker, RULES, now + RULES.cool_down_seconds)[1] == 0
