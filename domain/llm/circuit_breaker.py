"""Circuit breaker: stops calls to a model for a while after repeated failures.

closed --failures--> open --cool-down--> half_open --call succeeds--> closed
                      ^-------- call fails ----------'
"""

from enum import StrEnum

from pydantic import Field

from domain.base import Frozen


class BreakerState(StrEnum):
    """State of a breaker: whether calls are allowed."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRules(Frozen):
    """When a breaker opens, and for how long.

    Args:
        failure_count: Number of different runs whose failures, without a success in between, open
            the breaker. Repeated failures of a single run may be due to its request.
        cool_down_seconds: How long the breaker stays open before one probing call is allowed.
        probe_seconds: How long other calls wait while the probing call is under way.
    """

    failure_count: int = Field(default=5, gt=0)
    cool_down_seconds: float = Field(default=30.0, gt=0)
    probe_seconds: float = Field(default=2.0, gt=0)


class Breaker(Frozen):
    """Immutable state of a circuit breaker; each transition returns a new one.

    Args:
        state: Whether calls are allowed.
        failed_runs: Runs whose calls have failed since the last success.
        opened_at: When it opened, in seconds of a monotonic clock.
        is_probing: Whether the probing call of a half-open breaker is under way.
    """

    state: BreakerState = BreakerState.CLOSED
    failed_runs: frozenset[str] = frozenset()
    opened_at: float = 0.0
    is_probing: bool = False


def admit(breaker: Breaker, rules: BreakerRules, now: float) -> tuple[Breaker, float]:
    """Ask whether a call is allowed now.

    Args:
        breaker: Current breaker.
        rules: Rules of the breaker.
        now: Seconds of a monotonic clock.

    Returns:
        The new breaker, and the seconds to wait. At 0 the caller may call, and then reports the
        result by `succeed`, `fail` or `release`.
    """
    if breaker.state is BreakerState.CLOSED:
        return breaker, 0.0
    if breaker.state is BreakerState.OPEN:
        remaining = breaker.opened_at + rules.cool_down_seconds - now
        if remaining > 0:
            return breaker, min(remaining, rules.cool_down_seconds)  # rounding may make it longer
    elif breaker.is_probing:
        return breaker, rules.probe_seconds
    return breaker.model_copy(
        update={"state": BreakerState.HALF_OPEN, "is_probing": True},
    ), 0.0


def succeed() -> Breaker:
    """Return the breaker after a successful call: closed, without failures."""
    return Breaker()


def fail(breaker: Breaker, rules: BreakerRules, now: float, run: str) -> Breaker:
    """Return the breaker after a failed call.

    Args:
        breaker: Current breaker.
        rules: Rules of the breaker.
        now: Seconds of a monotonic clock.
        run: Run that made the call.

    Returns:
        An open breaker after failures of too many runs or after a failed probing call.
    """
    failed = breaker.model_copy(update={"failed_runs": breaker.failed_runs | {run}})
    # Reason: calls that began before it opened may fail later; they do not prolong the wait.
    if breaker.state is BreakerState.OPEN:
        return failed
    if breaker.state is BreakerState.CLOSED and len(failed.failed_runs) < rules.failure_count:
        return failed
    return failed.model_copy(
        update={"state": BreakerState.OPEN, "opened_at": now, "is_probing": False},
    )


def release(breaker: Breaker) -> Breaker:
    """Return the breaker after a call that says nothing of the provider's health.

    Such calls were cancelled, refused or rate limited.

    Args:
        breaker: Current breaker.

    Returns:
        The breaker in the same state; if half open, the next call may probe.
    """
    return breaker.model_copy(update={"is_probing": False})
