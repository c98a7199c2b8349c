"""What a model's tokens cost, from the price list that came with us or from the settings."""

import asyncio
from decimal import Decimal
from typing import NamedTuple

from domain.llm import TokenUsage

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


class Prices:
    """The price list of a provider; it never asks the network.

    Args:
        provider: `openai` or `anthropic`.
        prompt_cents_per_million: Beats the list, for every model; a price left out is 0 beside
            one that is given.
        completion_cents_per_million: Likewise.
    """

    def __init__(
        self,
        provider: str,
        prompt_cents_per_million: Decimal | None = None,
        completion_cents_per_million: Decimal | None = None,
    ) -> None:
        self._provider = provider
        self._prompt = prompt_cents_per_million
        self._completion = completion_cents_per_million

    def cost(self, model: str, usage: TokenUsage) -> Cost:
        """Say what these tokens cost.

        Args:
            model: The provider's name of it.
            usage: As reported.

        Returns:
            The cost, or 0 and a flag.
        """
        if self._prompt is not None or self._completion is not None:
            return Cost(
                usage.prompt_tokens * (self._prompt or Decimal(0)) / MILLION
                + usage.completion_tokens * (self._completion or Decimal(0)) / MILLION,
                is_priced=True,
            )
        # Reason: its tables take a quarter of a second to import; a process that asks no model,
        # or has its own price, shall start without them.
        from genai_prices import Usage, calc_price  # noqa: PLC0415

        try:
            found = calc_price(
                Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens),
                model,
                provider_id=self._provider,
            )
        except LookupError:
            return UNPRICED
        return Cost(found.total_price * CENTS_PER_DOLLAR, is_priced=True)

    async def load(self) -> None:
        """Read the list beside the event loop, so that the first question is as quick as others."""
        await asyncio.to_thread(self.cost, "gpt-4.1", TokenUsage())
