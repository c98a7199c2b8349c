"""Limits of requests and tokens per minute: how long calls wait, and who goes first."""

from hypothesis import given
from hypothesis import strategies as st

from domain.llm.rate_limits import GRACE_SECONDS, RateLimits, RateState, admit, begin, give_back

TWO = RateLimits(requests_per_minute=2)
TOKENS = RateLimits(tokens_per_minute=600)


def ask(
    state: RateState, limits: RateLimits, call: str, tokens: int = 1, now: float = 0.0
) -> tuple[RateState, float]:
    """Ask for a call whose user is the first letter of its key."""
    return admit(state, limits, call[0], call, tokens, now)


def test_without_limits_nobody_waits() -> None:
    none = RateLimits()
    state = begin(none, 0)
    for number in range(100):
        state, wait = ask(state, none, f"a{number}", 10**9)
        assert wait == 0


def test_requests_beyond_the_limit_wait_for_their_time() -> None:
    state = begin(TWO, 0)
    state, one = ask(state, TWO, "a1")
    state, two = ask(state, TWO, "a2")
    state, three = ask(state, TWO, "a3")
    state, four = ask(state, TWO, "a4")
    assert (one, two, three, four) == (0, 0, 30, 60)
    early = ask(state, TWO, "a3", now=29.0)[1]
    assert 0.9 < early < 1.1
    state, wait = ask(state, TWO, "a3", now=30.0)
    assert wait == 0
    assert ask(state, TWO, "a4", now=60.0)[1] == 0


def test_tokens_are_counted_and_given_back() -> None:
    state, wait = ask(begin(TOKENS, 0), TOKENS, "a1", 500)
    assert wait == 0
    assert ask(state, TOKENS, "a2", 200)[1] == 10
    state = give_back(state, TOKENS, 450)
    assert ask(state, TOKENS, "a2", 200)[1] == 0
    assert give_back(state, TOKENS, -5) == state
    assert give_back(state, TOKENS, 10_000).levels[1] == 600


def test_a_call_above_the_limit_needs_the_whole_minute() -> None:
    state, wait = ask(begin(TOKENS, 0), TOKENS, "a1", 10_000)
    assert wait == 0
    assert ask(state, TOKENS, "a2", 10_000)[1] == 60
    assert ask(state, TOKENS, "a2", 10_000, now=60.0)[1] == 0


def test_who_has_used_least_goes_first() -> None:
    state = begin(TWO, 0)
    for call in ("a1", "a2", "a3", "a4", "b1"):
        state, wait = ask(state, TWO, call)
    assert wait == 30, "before the two of the other user, who came first"
    # The busy one comes at the right time, and lets the other one go first.
    state, wait = ask(state, TWO, "a3", now=30.0)
    assert wait > 0
    assert ask(state, TWO, "b1", now=30.0)[1] == 0


def test_a_place_is_not_kept_for_ever() -> None:
    state = begin(TWO, 0)
    for call in ("a1", "a2", "a3", "b1"):
        state, _ = ask(state, TWO, call)
    gone = 30.0 + GRACE_SECONDS + 0.1
    assert ask(state, TWO, "a3", now=gone)[1] == 0


def test_use_is_forgotten() -> None:
    state, _ = ask(begin(TWO, 0), TWO, "a1")
    state, _ = ask(state, TWO, "b1", now=3_600.0)
    assert set(state.used) == {"b"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 900), st.floats(0, 20))))
def test_no_minute_has_more_than_two_buckets(story: list[tuple[str, int, float]]) -> None:
    state, now = begin(TOKENS, 0), 0.0
    taken: list[tuple[float, int]] = []
    for number, (user, tokens, pause) in enumerate(story):
        now += pause
        state, wait = admit(state, TOKENS, user, f"{user}{number}", tokens, now)
        if wait == 0:
            taken.append((now, min(tokens, 600)))
        window = sum(count for at, count in taken if at > now - 60)
        assert window <= 1_200 + 1e-6
        assert min(state.levels) >= -1e-6
