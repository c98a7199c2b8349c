"""Context windows of models: the agent's spec, or a smaller limit that a provider reported."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agents.spec import AgentSpec

# Share of the window that the prompt gets, if the window is smaller than the spec's.
PROMPT_PART = 0.75
# Smallest window that is still usable.
MIN_TOKENS = 512
# Reason: one odd refusal must not shorten every prompt until the worker restarts, and learning a
# window again costs only one refusal, which is free.
LEARNED_FOR_SECONDS = 3_600.0


class TokenLimits(NamedTuple):
    """The worst-case token limits of one call: the prompt's and the answer's."""

    prompt_tokens: int
    answer_tokens: int


class _LearnedLimit(NamedTuple):
    """A window in tokens, and when it expires, in seconds of a monotonic clock."""

    limit: int
    until: float


class ContextWindows:
    """The windows that this process learned from providers' refusals.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, _LearnedLimit] = {}

    def token_limits(self, model: str, spec: AgentSpec) -> TokenLimits:
        """Return how many tokens one call of a model may read and write.

        Args:
            model: The provider's name of the model.
            spec: Spec of the agent that calls.
        """
        full_room = TokenLimits(spec.context_tokens, spec.max_answer_tokens)
        if (limit := self._limit(model)) is None:
            return full_room
        prompt = min(full_room.prompt_tokens, int(limit * PROMPT_PART))
        return TokenLimits(prompt, max(1, min(full_room.answer_tokens, limit - prompt)))

    def learn(self, model: str, details: Mapping[str, Any], sent_tokens: int) -> bool:
        """Record that a model refused a prompt because of its length.

        Args:
            model: The provider's name of the model.
            details: Details of the error: `limit_tokens`, if the provider reported its window.
            sent_tokens: Worst-case tokens of the prompt and the longest answer.

        Returns:
            Whether a shorter prompt is worth a try.
        """
        current_limit = self._limit(model)
        if current_limit is not None and sent_tokens > current_limit:
            return True  # it was sent before a shorter window was learned
        reported = details.get("limit_tokens")
        # Reason: halved if no window is reported, or if the refused prompt was within it.
        limit = (
            reported if isinstance(reported, int) and reported < sent_tokens else sent_tokens // 2
        )
        if limit < MIN_TOKENS:
            return False
        self._limits[model] = _LearnedLimit(limit, self._clock() + LEARNED_FOR_SECONDS)
        return True

    def _limit(self, model: str) -> int | None:
        learned = self._limits.get(model)
        return learned.limit if learned is not None and self._clock() < learned.until else None
