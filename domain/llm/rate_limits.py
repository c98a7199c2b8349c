"""Limits of requests and tokens per minute of one provider's key: a token bucket. Pure.

Who has used least goes first, so that a user with many calls does not keep the others waiting.
"""

from typing import NamedTuple

from pydantic import Field

from domain.base import Frozen

MINUTE = 60.0
# How long a call that was told to wait keeps its place after its time has come.
GRACE_SECONDS = 5.0
# A user's usage counts half after a minute; below this share of a minute's limit it is forgotten.
LEAST_USE = 0.001


class RateLimits(Frozen):
    """The limits of one key; None means no limit."""

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(default=None, gt=0)

    @property
    def capacities(self) -> tuple[float, float]:
        """Most requests and tokens at once: those of a minute."""
        return (
            float("inf") if self.requests_per_minute is None else float(self.requests_per_minute),
            float("inf") if self.tokens_per_minute is None else float(self.tokens_per_minute),
        )


class Waiting(NamedTuple):
    """A call that was told to wait: its user, cost, place, and until when the place is kept."""

    user: str
    cost: tuple[float, float]
    place: int
    until: float


class RateState(Frozen):
    """Immutable state of a key's limits; each transition returns a new one.

    Args:
        levels: Requests and tokens that are left.
        at: When that was, in seconds of a monotonic clock.
        used: Recent usage of each user, in shares of a minute's limit.
        waiting: Calls that were told to wait, by their keys.
        next_place: Place of the next call that has to wait.
    """

    levels: tuple[float, float]
    at: float
    used: dict[str, float] = {}
    waiting: dict[str, Waiting] = {}
    next_place: int = 0


def begin(limits: RateLimits, now: float) -> RateState:
    """Return the state of a key that nobody has used yet."""
    return RateState(levels=limits.capacities, at=now)


def admit(
    state: RateState, limits: RateLimits, user: str, call: str, token_count: int, now: float
) -> tuple[RateState, float]:
    """Ask whether a call may be made now.

    Args:
        state: Current state.
        limits: Limits of the key.
        user: Whose call it is.
        call: Key of the call, the same when it asks again.
        token_count: Most tokens of the call.
        now: Seconds of a monotonic clock.

    Returns:
        The new state, and the seconds to wait; at 0 the call is counted.
    """
    state = _pass_time(state, limits, now)
    caps = limits.capacities
    # Reason: a call above the limit of a minute could never be made.
    cost = (1.0, min(float(token_count), caps[1]))
    mine = state.waiting.get(call)
    place = state.next_place if mine is None else mine.place
    rank = (state.used.get(user, 0.0), place)
    ahead = [
        each.cost
        for key, each in state.waiting.items()
        if key != call and (state.used.get(each.user, 0.0), each.place) < rank
    ]
    needed = [own + sum(each[index] for each in ahead) for index, own in enumerate(cost)]
    if all(
        level >= min(cap, need) for level, cap, need in zip(state.levels, caps, needed, strict=True)
    ):
        return _take(state, caps, user, call, cost), 0.0
    wait = max(
        (need - level) * MINUTE / cap
        for level, cap, need in zip(state.levels, caps, needed, strict=True)
        if cap != float("inf")
    )
    entry = Waiting(user, cost, place, now + wait + GRACE_SECONDS)
    changes = {
        "waiting": {**state.waiting, call: entry},
        "next_place": state.next_place + (mine is None),
    }
    return state.model_copy(update=changes), wait


def give_back(state: RateState, limits: RateLimits, token_count: int) -> RateState:
    """Return the state after a call that used fewer tokens than were counted."""
    cap = limits.capacities[1]
    requests, tokens = state.levels
    return state.model_copy(update={"levels": (requests, min(cap, tokens + max(0, token_count)))})


def _take(
    state: RateState, caps: tuple[float, float], user: str, call: str, cost: tuple[float, float]
) -> RateState:
    share = max(own / cap for own, cap in zip(cost, caps, strict=True))
    return state.model_copy(
        update={
            "levels": (state.levels[0] - cost[0], state.levels[1] - cost[1]),
            "used": {**state.used, user: state.used.get(user, 0.0) + share},
            "waiting": {key: each for key, each in state.waiting.items() if key != call},
        }
    )


def _pass_time(state: RateState, limits: RateLimits, now: float) -> RateState:
    seconds = max(0.0, now - state.at)
    filled = [
        cap if level == cap else min(cap, level + cap * seconds / MINUTE)
        for level, cap in zip(state.levels, limits.capacities, strict=True)
    ]
    faded = {user: use * 0.5 ** (seconds / MINUTE) for user, use in state.used.items()}
    return state.model_copy(
        update={
            "levels": (filled[0], filled[1]),
            "at": now,
            "used": {user: use for user, use in faded.items() if use >= LEAST_USE},
            "waiting": {key: each for key, each in state.waiting.items() if each.until > now},
        }
    )
