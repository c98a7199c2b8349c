"""Stripe's rate limit, once it is switched on."""

import time
from collections import deque

from sandbox.stripe.errors import ApiError

_MESSAGE = "Too many requests: this account's limit of calls a second is reached."
_LOCK_MESSAGE = "Another request holds the lock on this object. Try again."


class RateLimit:
    """At most so many requests in any second of real time."""

    def __init__(self) -> None:
        self.per_second: int | None = None
        self._taken: deque[float] = deque()

    def set(self, per_second: int | None) -> None:
        """Switch the limit on, or off with None."""
        self.per_second = per_second
        self._taken.clear()

    def take(self) -> None:
        """Count a request.

        Raises:
            ApiError: 429, if there were too many in the last second.
        """
        if self.per_second is None:
            return
        now = time.monotonic()
        while self._taken and self._taken[0] <= now - 1:
            self._taken.popleft()
        if len(self._taken) >= self.per_second:
            raise exceeded()
        self._taken.append(now)


def exceeded(code: str = "rate_limit") -> ApiError:
    """Return a 429: of the rate limit, or `lock_timeout`; no key keeps it."""
    is_lock = code == "lock_timeout"
    error = ApiError(
        429,
        "invalid_request_error",
        _LOCK_MESSAGE if is_lock else _MESSAGE,
        is_saved=False,
        code=code,
    )
    error.headers["Stripe-Rate-Limited-Reason"] = "resource-specific" if is_lock else "global-rate"
    if is_lock:
        error.headers["Stripe-Should-Retry"] = "true"
    return error
