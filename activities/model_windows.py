"""What models can read at once: as the agent's spec says, or less where a provider has said so."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents.spec import AgentSpec

# Of a window that is smaller than the spec's, this part is for the prompt.
PROMPT_PART = 0.75
# Nobody can work with less.
MIN_TOKENS = 512


class Room(NamedTuple):
    """What one call may read and write, in tokens at their worst case."""

    prompt_tokens: int
    answer_tokens: int


class Windows:
    """The windows that providers' refusals have taught this process."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}

    def room(self, model: str, spec: AgentSpec) -> Room:
        """Return what one call of a model may read and write.

        Args:
            model: The provider's name of it.
            spec: Whose call.
        """
        wanted = Room(spec.context_tokens, spec.max_answer_tokens)
        if (limit := self._limits.get(model)) is None:
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
        known = self._limits.get(model, sent_tokens)
        named = details.get("limit_tokens")
        # Reason: a window that is not named, or one that was kept to and refused, is halved.
        limit = named if isinstance(named, int) and named < known else known // 2
        if limit < MIN_TOKENS:
            return False
        self._limits[model] = limit
        return True
