"""Prices of a model's tokens, from the installed price list or from the settings."""

import asyncio
from decimal import Decimal
from typing import NamedTuple

from domain.llm.messages import TokenUsage

MILLION = 1_000_000
CENTS_PER_DOLLAR = 100
FULL_PRICE = Decimal(1)


class Cost(NamedTuple):
    """Cost of a call.

    Args:
        cents: US cents, not rounded; 0 if no price is known.
        is_priced: Whether a price is known.
    """

    cents: Decimal
    is_priced: bool


UNPRICED = Cost(Decimal(0), is_priced=False)


class OwnPrices(NamedTuple):
    """Prices from the settings, in cents per million tokens; None means not given.

    Args:
        prompt: Price of the prompt; counts as 0 if not given.
        completion: Price of the completion; counts as 0 if not given.
        cached: Price of prompt tokens that came from a cache; the prompt's price if not given.
        cache_write: Price of prompt tokens that were written to a cache; the prompt's price if
            not given.
    """

    prompt: Decimal | None = None
    completion: Decimal | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None

    def cents(self, usage: TokenUsage) -> Decimal:
        """Return the cost of a usage in cents."""
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
    """Price list of a provider, which never uses the network.

    Args:
        provider: Name of the provider, as the price list has it; a price of an unknown provider
            is not known.
        prompt_cents_per_million: Price of the prompt, for every model. If this price or that of
            the completion is given, the price list is not used, and the other counts as 0.
        completion_cents_per_million: Price of the completion, for every model.
        cached_cents_per_million: Price of prompt tokens from a cache; the prompt's if not given.
        cache_write_cents_per_million: Price of prompt tokens written to a cache; the prompt's if
            not given.
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
        """Return the cost of a usage, with each class of tokens at its own price.

        Args:
            model: Name of the model at the provider.
            usage: Usage as reported by the provider.

        Returns:
            Cost; `UNPRICED` if no price is known for this model.
        """
        usage = _consistent(usage)
        if self._own.prompt is not None or self._own.completion is not None:
            return Cost(self._own.cents(usage), is_priced=True)
        # Reason: the price tables take 0.25 s to import; a process without model calls, or with
        # prices from the settings, starts without them.
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
        """Load the price list in a thread, so that the first call is as fast as later ones."""
        await asyncio.to_thread(self.cost, "gpt-4.1", TokenUsage())


def _consistent(usage: TokenUsage) -> TokenUsage:
    """Return a usage whose classes do not exceed its sums, as reported ones may."""
    cached = min(usage.cached_prompt_tokens, usage.prompt_tokens)
    written = min(usage.cache_write_tokens, usage.prompt_tokens - cached)
    reasoning = min(usage.reasoning_tokens, usage.completion_tokens)
    classes = {
        "cached_prompt_tokens": cached,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
    }
    return usage.model_copy(update=classes)
