"""What models can read at once: as the agent's spec says, or less where a provider has said so."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agents.spec import AgentSpec

# Of a window that is smaller than the spec's, this part is for the prompt.
PROMPT_PART = 0.75
# Nobody can work with less.
MIN_TOKENS = 512
# Reason: one odd refusal must not shorten every prompt until the worker is started again, and to
# learn a window anew costs a refusal, which is free.
LEARNED_FOR_SECONDS = 3_600.0


class Room(NamedTuple):
    """What one call may read and write, in tokens at their worst case."""

    prompt_tokens: int
    answer_tokens: int


class _Learned(NamedTuple):
    """A window in tokens, and until when it counts, in seconds of a clock that never goes back."""

    limit: int
    until: float


class Windows:
    """The windows that providers' refusals have taught this process.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned: dict[str, _Learned] = {}

    def room(self, model: str, spec: AgentSpec) -> Room:
        """Return what one call of a model may read and write.

        Args:
            model: The provider's name of it.
            spec: Whose call.
        """
        wanted = Room(spec.context_tokens, spec.max_answer_tokens)
        if (limit := self._limit(model)) is None:
            return wanted
        prompt = min(wanted.prompt_tokens, int(limit * PROMPT_PART))
        return Room(prompt, max(1, min(wanted.answer_tokens, limit - prompt)))

    def learn(self, model: str, details: Mapping[str, Any], sent_tokens: int) -> bool:
        """Take note that a model refused a prompt for its length.

        Args:
            model: The provider's name of it.
            details: Of its error: `limit_tokens`, if the provider named its window.
            sent_tokens: What the prompt and the longest answer were reckoned at.

        Returns:
            Whether a shorter prompt is worth a try.
        """
        known = self._limit(model)
        if known is not None and sent_tokens > known:
            return True  # it was sent before another refusal taught us better
        named = details.get("limit_tokens")
        # Reason: a window that is not named, or one that was kept to and refused, is halved.
        limit = named if isinstance(named, int) and named < sent_tokens else sent_tokens // 2
        if limit < MIN_TOKENS:
            return False
        self._learned[model] = _Learned(limit, self._clock() + LEARNED_FOR_SECONDS)
        return True

    def _limit(self, model: str) -> int | None:
        learned = self._learned.get(model)
        return learned.limit if learned is not None and self._clock() < learned.until else None
