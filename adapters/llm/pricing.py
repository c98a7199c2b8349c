"""What a model's tokens cost, from the price list that came with us or from the settings."""

import asyncio
from decimal import Decimal
from typing import NamedTuple

from domain.llm.messages import TokenUsage

MILLION = 1_000_000
CENTS_PER_DOLLAR = 100


class Cost(NamedTuple):
    """What a call cost.

    Args:
        cents: US cents, not rounded; 0 if nobody knows the price.
        is_priced: Whether anybody does.
    """

    cents: Decimal
    is_priced: bool


UNPRICED = Cost(Decimal(0), is_priced=False)


class OwnPrices(NamedTuple):
    """Prices from the settings, in cents per million tokens; None means not given.

    Args:
        prompt: Of the prompt; 0 beside another one that is given.
        completion: Likewise.
        cached: Of the prompt's part that came from a cache; as the prompt if not given.
        cache_write: Of its part that was written to a cache; likewise.
    """

    prompt: Decimal | None = None
    completion: Decimal | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None

    def cents(self, usage: TokenUsage) -> Decimal:
        """Return what these tokens cost."""
        prompt = self.prompt or Decimal(0)
        cached = prompt if self.cached is None else self.cached
        cache_write = prompt if self.cache_write is None else self.cache_write
        classes = usage.cached_prompt_tokens + usage.cache_write_tokens
        return (
            (usage.prompt_tokens - classes) * prompt
            + usage.cached_prompt_tokens * cached
            + usage.cache_write_tokens * cache_write
            + usage.completion_tokens * (self.completion or Decimal(0))
        ) / MILLION


class Prices:
    """The price list of a provider; it never asks the network.

    Args:
        provider: `openai` or `anthropic`.
        prompt_cents_per_million: Beats the list, for every model; a price left out is 0 beside
            one that is given.
        completion_cents_per_million: Likewise.
        cached_cents_per_million: Of the prompt's part from a cache; left out, as the prompt.
        cache_write_cents_per_million: Of its part written to a cache; left out, as the prompt.
    """

    def __init__(
        self,
        provider: str,
        prompt_cents_per_million: Decimal | None = None,
        completion_cents_per_million: Decimal | None = None,
        cached_cents_per_million: Decimal | None = None,
        cache_write_cents_per_million: Decimal | None = None,
    ) -> None:
        self._provider = provider
        self._own = OwnPrices(
            prompt_cents_per_million,
            completion_cents_per_million,
            cached_cents_per_million,
            cache_write_cents_per_million,
        )

    def cost(self, model: str, usage: TokenUsage) -> Cost:
        """Say what these tokens cost, each class at its own price.

        Args:
            model: The provider's name of it.
            usage: As reported.

        Returns:
            The cost, or 0 and a flag.
        """
        usage = _summed(usage)
        if self._own.prompt is not None or self._own.completion is not None:
            return Cost(self._own.cents(usage), is_priced=True)
        # Reason: its tables take a quarter of a second to import; a process that asks no model,
        # or has its own price, shall start without them.
        from genai_prices import Usage, calc_price  # noqa: PLC0415

        counted = Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cached_prompt_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        try:
            found = calc_price(counted, model, provider_id=self._provider)
        except LookupError:
            return UNPRICED
        return Cost(found.total_price * CENTS_PER_DOLLAR, is_priced=True)

    async def load(self) -> None:
        """Read the list beside the event loop, so that the first question is as quick as others."""
        await asyncio.to_thread(self.cost, "gpt-4.1", TokenUsage())


def _summed(usage: TokenUsage) -> TokenUsage:
    """Return a usage whose classes are parts of its sums, which a provider's need not be."""
    cached = min(usage.cached_prompt_tokens, usage.prompt_tokens)
    written = min(usage.cache_write_tokens, usage.prompt_tokens - cached)
    reasoning = min(usage.reasoning_tokens, usage.completion_tokens)
    classes = {
        "cached_prompt_tokens": cached,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
    }
    return usage.model_copy(update=classes)
