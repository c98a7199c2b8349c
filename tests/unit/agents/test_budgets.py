"""What is reserved stays within the means, in tokens and in cents."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents.budgets import (
    MIN_COMPLETION_TOKENS,
    Price,
    raised,
    remaining,
    reserve,
    stricter,
)
from domain.errors import BudgetExceededError, InvalidInputError
from domain.usage.amounts import Allowance

BOUNDLESS = Allowance()
FREE = Price()
DEAR = Price(prompt_cents=Decimal("0.1"), completion_cents=Decimal("0.5"))

TOKENS = st.integers(0, 10**7)
CENTS = st.decimals(0, 10**6, places=8)
MEANS = st.builds(Allowance, token_count=st.none() | TOKENS, cost_cents=st.none() | CENTS)
USED = st.builds(Allowance, token_count=st.none() | TOKENS, cost_cents=st.none() | CENTS)
# Prices are quotients, as a provider's price list and a prompt's length bring them about.
PRICES = st.builds(
    lambda cents, tokens: Decimal(cents) / tokens,
    st.integers(0, 5_000),
    st.integers(1, 10**6),
)
PRICE = st.builds(Price, prompt_cents=PRICES, completion_cents=PRICES)
ROOMS = st.integers(0, 20_000)
WISHES = st.integers(1, 10_000)


def worst(price: Price, prompt_tokens: int, written: int) -> Fraction:
    prompt = prompt_tokens * Fraction(price.prompt_cents)
    return prompt + written * Fraction(price.completion_cents)


def fits(means: Allowance, price: Price, prompt_tokens: int, written: int) -> bool:
    """Tell, in fractions, whether a call that writes so much stays within the means."""
    tokens, cents = means.token_count, means.cost_cents
    in_tokens = tokens is None or prompt_tokens + written <= tokens
    return in_tokens and (cents is None or worst(price, prompt_tokens, written) <= Fraction(cents))


@given(MEANS, PRICE, ROOMS, WISHES)
def test_a_reservation_never_exceeds_the_means_and_never_gives_less_than_they_allow(
    means: Allowance,
    price: Price,
    prompt_tokens: int,
    wanted: int,
) -> None:
    least = min(MIN_COMPLETION_TOKENS, wanted)
    try:
        seen = reserve(means, price, prompt_tokens, wanted)
    except BudgetExceededError:
        assert not fits(means, price, prompt_tokens, least)
        return
    assert fits(means, price, prompt_tokens, seen.max_tokens)
    assert least <= seen.max_tokens <= wanted
    assert seen.token_count == prompt_tokens + seen.max_tokens
    assert Fraction(seen.cost_cents) == worst(price, prompt_tokens, seen.max_tokens)
    assert seen.is_cut == (seen.max_tokens < wanted)
    if seen.is_cut:
        assert not fits(means, price, prompt_tokens, seen.max_tokens + 1)


@given(MEANS, PRICE, st.lists(st.tuples(ROOMS, WISHES), min_size=1, max_size=6))
def test_calls_one_after_another_never_exceed_the_means_together(
    means: Allowance,
    price: Price,
    calls: list[tuple[int, int]],
) -> None:
    tokens, cents = 0, Decimal(0)
    for prompt_tokens, wanted in calls:
        rest = remaining(means, Allowance(token_count=tokens, cost_cents=cents))
        try:
            seen = reserve(rest, price, prompt_tokens, wanted)
        except BudgetExceededError:
            continue
        tokens += seen.token_count
        # Reason: the column has eight places; what it rounds is rounded up here.
        cents += seen.cost_cents.quantize(Decimal("1e-8"), "ROUND_UP")
    assert means.token_count is None or tokens <= means.token_count
    assert means.cost_cents is None or cents <= means.cost_cents


def test_without_bounds_the_model_may_write_what_it_wants() -> None:
    seen = reserve(BOUNDLESS, DEAR, 100, 40)
    assert (seen.max_tokens, seen.token_count, seen.is_cut) == (40, 140, False)
    assert seen.cost_cents == 30


@pytest.mark.parametrize(
    ("means", "price", "max_tokens"),
    [
        (Allowance(token_count=150), FREE, 50),
        (Allowance(token_count=199), FREE, 99),
        (Allowance(token_count=116), FREE, 16),
        (Allowance(cost_cents=Decimal(30)), DEAR, 40),
        (Allowance(cost_cents=Decimal("30.49")), DEAR, 40),
        (Allowance(cost_cents=Decimal(18)), DEAR, 16),
        (Allowance(token_count=130, cost_cents=Decimal(30)), DEAR, 30),
        (Allowance(token_count=170, cost_cents=Decimal(30)), DEAR, 40),
    ],
)
def test_it_is_cut_to_what_is_left(means: Allowance, price: Price, max_tokens: int) -> None:
    seen = reserve(means, price, 100, 100)
    assert (seen.max_tokens, seen.is_cut) == (max_tokens, True)


@pytest.mark.parametrize(
    ("means", "price"),
    [
        (Allowance(token_count=0), FREE),
        (Allowance(token_count=99), FREE),
        (Allowance(token_count=115), FREE),
        (Allowance(cost_cents=Decimal("17.99")), DEAR),
        (Allowance(cost_cents=Decimal("9.99")), DEAR),
        (Allowance(cost_cents=Decimal("9.99")), Price(prompt_cents=Decimal("0.1"))),
    ],
)
def test_too_little_for_an_answer_is_refused(means: Allowance, price: Price) -> None:
    with pytest.raises(BudgetExceededError) as refused:
        reserve(means, price, 100, 100)
    assert refused.value.error_code == "budget_exceeded"
    assert refused.value.details == {"token_count_left": means.token_count}


def test_a_model_that_charges_for_prompts_alone_is_held_to_cents_too() -> None:
    price = Price(prompt_cents=Decimal("0.1"))
    assert reserve(Allowance(cost_cents=Decimal(10)), price, 100, 50).cost_cents == 10


def test_who_wants_less_than_the_least_gets_it() -> None:
    assert reserve(Allowance(token_count=104), FREE, 100, 4).max_tokens == 4
    with pytest.raises(BudgetExceededError):
        reserve(Allowance(token_count=103), FREE, 100, 4)


def test_without_a_price_only_cents_refuse() -> None:
    unknown = Price(is_known=False)
    assert reserve(Allowance(token_count=200), unknown, 100, 50).cost_cents == 0
    with pytest.raises(BudgetExceededError) as refused:
        reserve(Allowance(cost_cents=Decimal(100)), unknown, 100, 50)
    assert refused.value.error_code == "price_unknown"


def test_a_free_model_needs_no_cents() -> None:
    assert reserve(Allowance(cost_cents=Decimal(0)), FREE, 100, 50).max_tokens == 50


def test_a_quotient_is_never_rounded_up_to_a_token() -> None:
    """Three tokens of this price cost a hair more than two cents."""
    price = Price(completion_cents=Decimal("0.6666666666666666666666666667"))
    assert reserve(Allowance(cost_cents=Decimal(20)), price, 0, 100).max_tokens == 29


@given(MEANS, MEANS, MEANS)
def test_bounds_together_are_the_smaller_ones(
    one: Allowance, other: Allowance, third: Allowance
) -> None:
    both = stricter(one, other)
    assert both == stricter(other, one)
    assert stricter(both, third) == stricter(one, stricter(other, third))
    assert stricter(one, one) == one
    assert stricter(one, BOUNDLESS) == one
    for name in Allowance.model_fields:
        bounds = {getattr(each, name) for each in (one, other)} - {None}
        assert getattr(both, name) == (min(bounds) if bounds else None)


@given(MEANS, USED, USED)
def test_what_is_left_is_never_more_never_below_nothing_and_never_a_bound_of_its_own(
    limit: Allowance,
    used: Allowance,
    more: Allowance,
) -> None:
    rest = remaining(limit, used)
    assert stricter(rest, limit) == rest
    assert remaining(limit, BOUNDLESS) == limit
    for name in Allowance.model_fields:
        bound, gone, kept = (getattr(each, name) for each in (limit, used, rest))
        assert (kept is None) == (bound is None)
        assert bound is None or kept == max(0, bound - (gone or 0))
    in_turn, at_once = remaining(rest, more), remaining(limit, total(used, more))
    assert in_turn == at_once


@given(MEANS, MEANS, USED)
def test_subtracting_from_both_bounds_is_subtracting_from_the_tighter_one(
    one: Allowance,
    other: Allowance,
    used: Allowance,
) -> None:
    assert remaining(stricter(one, other), used) == stricter(
        remaining(one, used), remaining(other, used)
    )


def total(one: Allowance, other: Allowance) -> Allowance:
    return Allowance(
        token_count=(one.token_count or 0) + (other.token_count or 0),
        cost_cents=(one.cost_cents or 0) + (other.cost_cents or Decimal(0)),
    )


def test_an_answer_that_may_not_be_cut_needs_its_whole_room() -> None:
    left = Allowance(token_count=150)
    assert reserve(left, Price(), 100, 100).max_tokens == 50
    with pytest.raises(BudgetExceededError):
        reserve(left, Price(), 100, 100, may_cut=False)
    whole = reserve(Allowance(token_count=200), Price(), 100, 100, may_cut=False)
    assert (whole.max_tokens, whole.is_cut) == (100, False)


@pytest.mark.parametrize(
    ("old", "new", "result"), [(5, None, 5), (None, None, None), (5, 5, 5), (5, 6, 6)]
)
def test_a_budget_is_raised(old: int | None, new: int | None, result: int | None) -> None:
    assert raised(old, new) == result


@pytest.mark.parametrize(("old", "new"), [(5, 4), (None, 4)])
def test_a_budget_is_never_lowered(old: int | None, new: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        raised(old, new)
    assert caught.value.error_code == "budget_lowered"
