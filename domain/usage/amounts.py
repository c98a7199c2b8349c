"""Amounts of usage: what was used, and what may still be used."""

from decimal import Decimal
from typing import Self

from domain.base import Frozen
from domain.plans import Metric


class Allowance(Frozen):
    """Tokens and cents that may still be used; None means unlimited."""

    token_count: int | None = None
    cost_cents: Decimal | None = None


class UsageTotal(Frozen):
    """Total usage of agent runs and model calls.

    Args:
        agent_run_count: Admitted runs.
        prompt_token_count: Tokens of prompts, including those read from or written to a cache.
        completion_token_count: Tokens of completions, including reasoning.
        cached_prompt_token_count: Tokens of prompts that came from a cache.
        cache_write_token_count: Tokens of prompts that were written to a cache.
        reasoning_token_count: Tokens of completions that were reasoning.
        cost_cents: Cost at the models' prices.
    """

    agent_run_count: int = 0
    prompt_token_count: int = 0
    completion_token_count: int = 0
    cached_prompt_token_count: int = 0
    cache_write_token_count: int = 0
    reasoning_token_count: int = 0
    cost_cents: Decimal = Decimal(0)

    @property
    def token_count(self) -> int:
        """Tokens of prompts and completions together."""
        return self.prompt_token_count + self.completion_token_count

    def of(self, metric: Metric) -> Decimal:
        """Return the usage of one metric."""
        return Decimal(getattr(self, metric))

    def __add__(self, other: Self) -> Self:
        """Add up two totals."""
        names = type(self).model_fields
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


class WindowUsage(UsageTotal):
    """Usage within one window, with what calls under way have reserved.

    Args:
        held_token_count: Tokens that were used, or are reserved.
        held_cost_cents: Cents that were used, or are reserved.
    """

    held_token_count: int = 0
    held_cost_cents: Decimal = Decimal(0)

    def held(self, metric: Metric) -> Decimal:
        """Return what counts against a limit of one metric, reservations included."""
        match metric:
            case Metric.TOKEN_COUNT:
                return Decimal(self.held_token_count)
            case Metric.COST_CENTS:
                return self.held_cost_cents
            case _:
                return self.of(metric)
