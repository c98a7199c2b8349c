"""What a run may still use up: reserved at the worst case before a call, settled after. Pure.

The run's own budget and what remains of the plan's limits hold together; the smaller one counts.
"""

from decimal import ROUND_FLOOR, Context, Decimal, localcontext

from domain.base import Frozen
from domain.errors import BudgetExceededError

# Fewer tokens than this are no answer: better to say that the budget is used up.
MIN_COMPLETION_TOKENS = 16
# Reason: a price has up to 28 digits; what many tokens cost must not be rounded past the means.
_EXACT = Context(prec=60, rounding=ROUND_FLOOR)


class Allowance(Frozen):
    """What remains; None means without bound."""

    token_count: int | None = None
    cost_cents: Decimal | None = None


class Price(Frozen):
    """What one token costs, in cents; a model whose price nobody knows costs 0 and is flagged."""

    prompt_cents: Decimal = Decimal(0)
    completion_cents: Decimal = Decimal(0)
    is_known: bool = True


class Reservation(Frozen):
    """The worst case of one call.

    Args:
        max_tokens: What the model may write; cut to what remains.
        token_count: Prompt and completion at the most.
        cost_cents: What they cost at the most.
        is_cut: The model would have been allowed to write more.
    """

    max_tokens: int
    token_count: int
    cost_cents: Decimal
    is_cut: bool


def remaining(limit: Allowance, used: Allowance) -> Allowance:
    """Subtract what is used or held from what is allowed; no limit leaves no bound."""
    tokens = limit.token_count
    cents = limit.cost_cents
    return Allowance(
        token_count=None if tokens is None else max(0, tokens - (used.token_count or 0)),
        cost_cents=None if cents is None else max(Decimal(0), cents - (used.cost_cents or 0)),
    )


def stricter(one: Allowance, other: Allowance) -> Allowance:
    """Put two bounds together: the smaller one counts."""
    tokens = [each.token_count for each in (one, other) if each.token_count is not None]
    cents = [each.cost_cents for each in (one, other) if each.cost_cents is not None]
    return Allowance(token_count=min(tokens, default=None), cost_cents=min(cents, default=None))


def reserve(means: Allowance, price: Price, prompt_tokens: int, wanted_tokens: int) -> Reservation:
    """Reserve one call of a model.

    Args:
        means: What remains.
        price: Of the model.
        prompt_tokens: The prompt at the most.
        wanted_tokens: What the model would be allowed to write.

    Returns:
        The worst case, within the means.

    Raises:
        BudgetExceededError: The means do not suffice, or cents are counted and the model's
            price is unknown (`price_unknown`).
    """
    if means.cost_cents is not None and not price.is_known:
        raise BudgetExceededError(
            "the budget is in cents and nobody knows what this model costs",
            "price_unknown",
        )
    with localcontext(_EXACT):
        max_tokens = _affordable(means, price, prompt_tokens, wanted_tokens)
        cost = prompt_tokens * price.prompt_cents + max_tokens * price.completion_cents
    if max_tokens < min(MIN_COMPLETION_TOKENS, wanted_tokens):
        raise BudgetExceededError(
            "what remains of the budget is not enough for the next step",
            details={"token_count_left": means.token_count},
        )
    return Reservation(
        max_tokens=max_tokens,
        token_count=prompt_tokens + max_tokens,
        cost_cents=cost,
        is_cut=max_tokens < wanted_tokens,
    )


def _affordable(means: Allowance, price: Price, prompt_tokens: int, wanted_tokens: int) -> int:
    """Return how many tokens may be written; below 0 if the prompt alone is too much."""
    bounds = [wanted_tokens]
    if means.token_count is not None:
        bounds.append(means.token_count - prompt_tokens)
    if means.cost_cents is not None:
        rest = means.cost_cents - prompt_tokens * price.prompt_cents
        if rest < 0:
            bounds.append(-1)
        elif price.completion_cents > 0:
            bounds.append(int(rest / price.completion_cents))
    return min(bounds)
