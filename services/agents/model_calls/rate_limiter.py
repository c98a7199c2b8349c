"""Holds the calls of this process to the limits of each provider's key."""

import time
from collections.abc import Callable, Mapping
from uuid import UUID

from domain.errors import ProviderUnavailableError
from domain.llm.messages import ProviderSlot
from domain.llm.rate_limits import RateLimits, RateState, admit, begin, give_back
from domain.llm.routing import RATE_LIMITED


class RateLimiter:
    """The limits of the providers' keys, shared by all calls of this process.

    Args:
        limits: Limits of each provider that has some.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        limits: Mapping[ProviderSlot, RateLimits],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._states: dict[ProviderSlot, RateState] = {}

    def admit(self, slot: ProviderSlot, user_id: UUID, call: str, token_count: int) -> None:
        """Count a call, or refuse it for now; Temporal makes it again when its time has come.

        Args:
            slot: Provider to call.
            user_id: Whose call it is.
            call: Key of the call, the same when it asks again.
            token_count: Most tokens of the call.

        Raises:
            ProviderUnavailableError: The call has to wait (`model_rate_limited`), with
                `retry_after_seconds` in `details`.
        """
        if (limits := self._limits.get(slot)) is None:
            return
        now = self._clock()
        state = self._states.get(slot) or begin(limits, now)
        self._states[slot], wait = admit(state, limits, str(user_id), call, token_count, now)
        if wait:
            raise ProviderUnavailableError(
                "our own limit of calls per minute is reached",
                RATE_LIMITED,
                {"retry_after_seconds": wait},
            )

    def give_back(self, slot: ProviderSlot, token_count: int) -> None:
        """Free the tokens that a call was counted with and has not used."""
        if (state := self._states.get(slot)) is not None:
            self._states[slot] = give_back(state, self._limits[slot], token_count)
