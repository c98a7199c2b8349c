"""Allowance of a run: reserves the worst case of a model call within what is left. Pure.

Both the run's own budget and the rest of the plan's limits apply; the smaller one counts.
"""

from decimal import ROUND_FLOOR, Context, Decimal, localcontext

from domain.base import Frozen
from domain.errors import BudgetExceededError, InvalidInputError
from domain.usage.amounts import Allowance

# With fewer tokens than this no useful answer is possible: the budget counts as used up.
MIN_COMPLETION_TOKENS = 16
# Reason: a price has up to 28 digits, and a rounded cost must not exceed the allowance.
_EXACT = Context(prec=60, rounding=ROUND_FLOOR)


class Price(Frozen):
    """Price of one token, in cents; an unknown price is 0 with `is_known` False."""

    prompt_cents: Decimal = Decimal(0)
    completion_cents: Decimal = Decimal(0)
    is_known: bool = True


class Reservation(Frozen):
    """The worst case of one call.

    Args:
        max_tokens: Most tokens that the model may write, limited by the allowance.
        token_count: Most tokens of prompt and completion together.
        cost_cents: Highest cost of these tokens.
        is_cut: Whether the allowance lowered the requested `max_tokens`.
    """

    max_tokens: int
    token_count: int
    cost_cents: Decimal
    is_cut: bool


# Before a call is reserved, and for one that costs nothing.
NOTHING_RESERVED = Reservation(max_tokens=0, token_count=0, cost_cents=Decimal(0), is_cut=False)


def remaining(limit: Allowance, used: Allowance) -> Allowance:
    """Subtract used and reserved amounts from a limit; an unlimited amount stays unlimited."""
    tokens = limit.token_count
    cents = limit.cost_cents
    return Allowance(
        token_count=None if tokens is None else max(0, tokens - (used.token_count or 0)),
        cost_cents=None if cents is None else max(Decimal(0), cents - (used.cost_cents or 0)),
    )


def stricter(one: Allowance, other: Allowance) -> Allowance:
    """Return the smaller of two allowances, for tokens and for cents separately."""
    tokens = [each.token_count for each in (one, other) if each.token_count is not None]
    cents = [each.cost_cents for each in (one, other) if each.cost_cents is not None]
    return Allowance(token_count=min(tokens, default=None), cost_cents=min(cents, default=None))


def reserve(
    left: Allowance,
    price: Price,
    prompt_tokens: int,
    requested_tokens: int,
    *,
    may_cut: bool = True,
) -> Reservation:
    """Reserve the worst case of one model call.

    Args:
        left: Allowance that is left.
        price: Price of the model's tokens.
        prompt_tokens: Most tokens that the prompt can have.
        requested_tokens: Most tokens that the model should be allowed to write.
        may_cut: Whether the answer may be cut to what is left.

    Returns:
        The worst case, within the allowance.

    Raises:
        BudgetExceededError: The allowance is too small, or it is in cents and no price is known
            for the model (`price_unknown`).
    """
    if left.cost_cents is not None and not price.is_known:
        raise BudgetExceededError(
            "the budget is in cents, and no price is known for this model",
            "price_unknown",
        )
    with localcontext(_EXACT):
        max_tokens = _affordable(left, price, prompt_tokens, requested_tokens)
        cost = prompt_tokens * price.prompt_cents + max_tokens * price.completion_cents
    least = min(MIN_COMPLETION_TOKENS, requested_tokens) if may_cut else requested_tokens
    if max_tokens < least:
        raise BudgetExceededError(
            "the rest of the budget is too small for the next step",
            details={"token_count_left": left.token_count},
        )
    return Reservation(
        max_tokens=max_tokens,
        token_count=prompt_tokens + max_tokens,
        cost_cents=cost,
        is_cut=max_tokens < requested_tokens,
    )


def _affordable(left: Allowance, price: Price, prompt_tokens: int, requested_tokens: int) -> int:
    """Return how many tokens the model may write; negative if the prompt alone is too much."""
    bounds = [requested_tokens]
    if left.token_count is not None:
        bounds.append(left.token_count - prompt_tokens)
    if left.cost_cents is not None:
        rest = left.cost_cents - prompt_tokens * price.prompt_cents
        if rest < 0:
            bounds.append(-1)
        elif price.completion_cents > 0:
            bounds.append(int(rest / price.completion_cents))
    return min(bounds)


def raised(old: int | None, new: int | None) -> int | None:
    """Return a limit of a run's budget after it was raised.

    Args:
        old: The limit so far; None means none.
        new: The wanted limit; None leaves it as it is.

    Raises:
        InvalidInputError: The limit would be lowered, or one would come where none was.
    """
    if new is None or new == old:
        return old
    if old is None or new < old:
        raise InvalidInputError(
            "a budget can be raised only",
            "budget_lowered",
            {"current": old, "wanted": new},
        )
    return new
