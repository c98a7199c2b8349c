"""The circuit breaker: who has failed again and again is left alone for a while.

closed --failures--> open --cool-down--> half_open --one good call--> closed
                      ^------- one bad call ---------'
"""

from enum import StrEnum

from pydantic import Field

from domain.base import Frozen


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRules(Frozen):
    """When to open, and for how long.

    Args:
        failure_count: Failures of so many runs, with no success between them, open it. One run
            that fails again and again says something of its request, not of the model.
        cool_down_seconds: So long it stays open; then one call tries.
        probe_seconds: So long others wait while that one call is under way.
    """

    failure_count: int = Field(default=5, gt=0)
    cool_down_seconds: float = Field(default=30.0, gt=0)
    probe_seconds: float = Field(default=2.0, gt=0)


class Breaker(Frozen):
    """One breaker at one moment; every step makes a new one.

    Args:
        state: Whether calls go through.
        failed_runs: Whose calls have failed since the last success.
        opened_at: When it opened, in seconds of a clock that never goes back.
        is_probing: Whether the one call of a half-open breaker is under way.
    """

    state: BreakerState = BreakerState.CLOSED
    failed_runs: frozenset[str] = frozenset()
    opened_at: float = 0.0
    is_probing: bool = False


def admit(breaker: Breaker, rules: BreakerRules, now: float) -> tuple[Breaker, float]:
    """Ask for leave to call.

    Args:
        breaker: As it is.
        rules: When to open, and for how long.
        now: Seconds of a clock that never goes back.

    Returns:
        The breaker afterwards, and how many seconds to wait; 0 means: call now, and report how it
        went by `succeed`, `fail` or `release`.
    """
    if breaker.state is BreakerState.CLOSED:
        return breaker, 0.0
    if breaker.state is BreakerState.OPEN:
        remaining = breaker.opened_at + rules.cool_down_seconds - now
        if remaining > 0:
            return breaker, min(remaining, rules.cool_down_seconds)  # floats add up to more
    elif breaker.is_probing:
        return breaker, rules.probe_seconds
    return breaker.model_copy(
        update={"state": BreakerState.HALF_OPEN, "is_probing": True},
    ), 0.0


def succeed() -> Breaker:
    """Take note of a good answer: whatever was, is forgotten."""
    return Breaker()


def fail(breaker: Breaker, rules: BreakerRules, now: float, run: str) -> Breaker:
    """Take note of a failure.

    Args:
        breaker: As it is.
        rules: When to open, and for how long.
        now: Seconds of a clock that never goes back.
        run: Whose call it was.

    Returns:
        Open after failures of too many runs, or when the one call of a half-open breaker failed.
    """
    failed = breaker.model_copy(update={"failed_runs": breaker.failed_runs | {run}})
    # Reason: calls that began before it opened still fail; they do not make the wait longer.
    if breaker.state is BreakerState.OPEN:
        return failed
    if breaker.state is BreakerState.CLOSED and len(failed.failed_runs) < rules.failure_count:
        return failed
    return failed.model_copy(
        update={"state": BreakerState.OPEN, "opened_at": now, "is_probing": False},
    )


def release(breaker: Breaker) -> Breaker:
    """Take note of a call that says nothing about the provider: cancelled, refused, rate limited.

    Args:
        breaker: As it is.

    Returns:
        The same, ready for another try if it is half open.
    """
    return breaker.model_copy(update={"is_probing": False})
