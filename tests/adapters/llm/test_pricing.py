"""What tokens cost by class, against amounts worked out by hand from the providers' price pages.

Prices in dollars a million, as published at platform.openai.com/docs/pricing and
platform.claude.com/docs/en/about-claude/pricing (cache writes: those that live five minutes):

| model             | prompt | cached | cache write | completion, reasoning included |
| gpt-4.1           | 2.00   | 0.50   | -           | 8.00  |
| gpt-4.1-mini      | 0.40   | 0.10   | -           | 1.60  |
| gpt-4o            | 2.50   | 1.25   | -           | 10.00 |
| gpt-4o-mini       | 0.15   | 0.075  | -           | 0.60  |
| o3                | 2.00   | 0.50   | -           | 8.00  |
| o4-mini           | 1.10   | 0.275  | -           | 4.40  |
| gpt-5             | 1.25   | 0.125  | -           | 10.00 |
| gpt-5-mini        | 0.25   | 0.025  | -           | 2.00  |
| claude-opus-4-8   | 5.00   | 0.50   | 6.25        | 25.00 |
| claude-opus-4-1   | 15.00  | 1.50   | 18.75       | 75.00 |
| claude-sonnet-4-5 | 3.00   | 0.30   | 3.75        | 15.00 |
| claude-haiku-4-5  | 1.00   | 0.10   | 1.25        | 5.00  |
"""

from decimal import Decimal

import pytest

from adapters.llm.pricing import Prices
from domain.llm.messages import TokenUsage

# Provider, model, (prompt, completion, cached, cache write, reasoning), cents.
CASES = [
    # 10,000 x 2.00 + 1,000 x 8.00 = 28,000 millionths of a dollar = 2.8 cents
    ("openai", "gpt-4.1", (10_000, 1_000, 0, 0, 0), "2.8"),
    # 2,000 x 2.00 + 8,000 x 0.50 + 1,000 x 8.00 = 4,000 + 4,000 + 8,000 = 16,000
    ("openai", "gpt-4.1", (10_000, 1_000, 8_000, 0, 0), "1.6"),
    # all of it from the cache: 10,000 x 0.50 = 5,000
    ("openai", "gpt-4.1", (10_000, 0, 10_000, 0, 0), "0.5"),
    # 20,000 x 0.40 + 30,000 x 0.10 + 2,000 x 1.60 = 8,000 + 3,000 + 3,200 = 14,200
    ("openai", "gpt-4.1-mini", (50_000, 2_000, 30_000, 0, 0), "1.42"),
    # 1,000 x 2.50 + 1,000 x 1.25 + 100 x 10.00 = 2,500 + 1,250 + 1,000 = 4,750
    ("openai", "gpt-4o", (2_000, 100, 1_000, 0, 0), "0.475"),
    # 4,000 x 0.15 + 6,000 x 0.075 + 500 x 0.60 = 600 + 450 + 300 = 1,350
    ("openai", "gpt-4o-mini", (10_000, 500, 6_000, 0, 0), "0.135"),
    # reasoning is part of the completion: 1,000 x 2.00 + 5,000 x 8.00 = 42,000
    ("openai", "o3", (1_000, 5_000, 0, 0, 4_800), "4.2"),
    # 500 x 2.00 + 500 x 0.50 + 5,000 x 8.00 = 1,000 + 250 + 40,000 = 41,250
    ("openai", "o3", (1_000, 5_000, 500, 0, 5_000), "4.125"),
    # 1,000 x 1.10 + 3,000 x 0.275 + 2,000 x 4.40 = 1,100 + 825 + 8,800 = 10,725
    ("openai", "o4-mini", (4_000, 2_000, 3_000, 0, 1_000), "1.0725"),
    # 2,000 x 1.25 + 18,000 x 0.125 + 3,000 x 10.00 = 2,500 + 2,250 + 30,000 = 34,750
    ("openai", "gpt-5", (20_000, 3_000, 18_000, 0, 2_000), "3.475"),
    # 8,000 x 0.25 + 2,000 x 0.025 + 1,000 x 2.00 = 2,000 + 50 + 2,000 = 4,050
    ("openai", "gpt-5-mini", (10_000, 1_000, 2_000, 0, 100), "0.405"),
    # 1,000 x 5.00 + 100 x 25.00 = 7,500
    ("anthropic", "claude-opus-4-8", (1_000, 100, 0, 0, 0), "0.75"),
    # 1,000 x 5.00 + 9,000 x 0.50 + 500 x 25.00 = 5,000 + 4,500 + 12,500 = 22,000
    ("anthropic", "claude-opus-4-8", (10_000, 500, 9_000, 0, 0), "2.2"),
    # 1,000 x 5.00 + 9,000 x 6.25 + 500 x 25.00 = 5,000 + 56,250 + 12,500 = 73,750
    ("anthropic", "claude-opus-4-8", (10_000, 500, 0, 9_000, 0), "7.375"),
    # 1,000 x 5.00 + 5,000 x 0.50 + 4,000 x 6.25 + 2,000 x 25.00 = 5,000 + 2,500 + 25,000 + 50,000
    ("anthropic", "claude-opus-4-8", (10_000, 2_000, 5_000, 4_000, 1_500), "8.25"),
    # 100 x 15.00 + 900 x 1.50 + 1,000 x 18.75 + 10 x 75.00 = 1,500 + 1,350 + 18,750 + 750 = 22,350
    ("anthropic", "claude-opus-4-1", (2_000, 10, 900, 1_000, 0), "2.235"),
    # 3,000 x 3.00 + 1,000 x 15.00 = 24,000
    ("anthropic", "claude-sonnet-4-5", (3_000, 1_000, 0, 0, 0), "2.4"),
    # 1,000 x 3.00 + 50,000 x 0.30 + 4,000 x 3.75 + 1,000 x 15.00 = 3,000 + 15,000 x 3
    ("anthropic", "claude-sonnet-4-5", (55_000, 1_000, 50_000, 4_000, 0), "4.8"),
    # 10,000 x 1.00 + 10,000 x 0.10 + 1,000 x 5.00 = 10,000 + 1,000 + 5,000 = 16,000
    ("anthropic", "claude-haiku-4-5", (20_000, 1_000, 10_000, 0, 900), "1.6"),
    # 2,000 x 1.25 + 40 x 5.00 = 2,500 + 200 = 2,700
    ("anthropic", "claude-haiku-4-5", (2_000, 40, 0, 2_000, 0), "0.27"),
]


def usage_of(counts: tuple[int, int, int, int, int]) -> TokenUsage:
    return TokenUsage(**dict(zip(TokenUsage.model_fields, counts, strict=True)))


@pytest.mark.parametrize(("provider", "model", "counts", "cents"), CASES)
def test_each_class_of_tokens_costs_what_the_price_page_says(
    provider: str, model: str, counts: tuple[int, int, int, int, int], cents: str
) -> None:
    assert Prices(provider).cost(model, usage_of(counts)) == (Decimal(cents), True)


@pytest.mark.parametrize(
    ("given", "cents"),
    [
        # 1,000 x 30 + 600 x 3 + 400 x 40 + 100 x 200, in cents a million
        ((30, 200, 3, 40), "0.0678"),
        # those that are left out cost as the rest of the prompt: 2,000 x 30 + 100 x 200
        ((30, 200, None, None), "0.08"),
        ((30, 200, 0, None), "0.062"),
    ],
)
def test_own_prices_are_by_class_too(given: tuple[int | None, ...], cents: str) -> None:
    own = [None if price is None else Decimal(price) for price in given]
    usage = usage_of((2_000, 100, 600, 400, 50))
    assert Prices("openai", *own).cost("mine", usage) == (Decimal(cents), True)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "counts",
    [(10, 5, 50, 0, 0), (10, 5, 0, 50, 0), (10, 5, 8, 8, 0), (10, 5, 0, 0, 50), (0, 0, 1, 1, 1)],
)
@pytest.mark.parametrize("own", [(), (Decimal(30), Decimal(200))], ids=["list", "own"])
def test_classes_that_are_more_than_their_sum_are_priced_all_the_same(
    provider: str, counts: tuple[int, int, int, int, int], own: tuple[Decimal, ...]
) -> None:
    """A report that does not add up must not fail the answer that it came with."""
    model = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-4-5"}[provider]
    cost = Prices(provider, *own).cost(model, usage_of(counts))
    assert cost.is_priced
    assert cost.cents >= 0
