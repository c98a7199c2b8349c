"""Hours, days and periods over which limits count, and what is left of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest

from api.schemas.plans import OverageName
from domain.plans import Limit, LimitWindow, Metric, metered_price_ids
from domain.subscriptions.entitlements import Entitlements
from domain.subscriptions.lifecycle import Access
from domain.usage.amounts import Allowance, WindowUsage
from domain.usage.windows import allowance_left, day_of, hour_of, metric_usage

BEGAN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ENDS = datetime(2026, 12, 20, 9, 30, tzinfo=UTC)


def entitled(limits: dict[str, Any], *billed: str) -> Entitlements:
    return Entitlements(
        access=Access.FULL,
        features={},
        limits={name: Limit.model_validate(limit) for name, limit in limits.items()},
        overage_metrics=frozenset(billed),
        resets_at=ENDS,
    )


def facts(*each: object) -> Any:
    """What is compared with plain numbers and names."""
    return each


def used(hour: int, day: int, period: int, held: int = 0) -> dict[LimitWindow, WindowUsage]:
    """Tokens that were used, and that one call under way holds besides."""

    def of(count: int) -> WindowUsage:
        return WindowUsage(
            agent_run_count=count,
            prompt_token_count=count,
            cost_cents=Decimal(count),
            held_token_count=count + held,
            held_cost_cents=Decimal(count + held),
        )

    return {
        LimitWindow.HOUR: of(hour),
        LimitWindow.DAY: of(day),
        LimitWindow.PERIOD: of(period),
    }


@pytest.mark.parametrize(
    ("at", "hour", "day"),
    [
        ("2026-11-29T00:00:00", "2026-11-29T00:00:00", "2026-11-29T00:00:00"),
        ("2026-11-29T00:59:59.999999", "2026-11-29T00:00:00", "2026-11-29T00:00:00"),
        ("2026-11-29T01:00:00", "2026-11-29T01:00:00", "2026-11-29T00:00:00"),
        ("2026-11-29T23:59:59.999999", "2026-11-29T23:00:00", "2026-11-29T00:00:00"),
        ("2028-02-29T12:00:00", "2028-02-29T12:00:00", "2028-02-29T00:00:00"),
    ],
)
def test_hours_and_days_are_those_of_the_clock(at: str, hour: str, day: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert hour_of(moment) == datetime.fromisoformat(hour).replace(tzinfo=UTC)
    assert day_of(moment) == datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_each_metric_is_counted_in_the_window_of_its_limit() -> None:
    limits = {
        "agent_run_count": {"count": 3, "per": "hour"},
        "token_count": {"count": 9, "per": "day"},
    }
    at = datetime(2026, 11, 29, 14, 5, tzinfo=UTC)
    runs, tokens, cents = metric_usage(entitled(limits), used(2, 5, 7, held=4), at, BEGAN)
    assert facts(runs.metric, runs.used, runs.held, runs.is_used_up) == (
        "agent_run_count",
        2,
        2,
        False,
    )
    assert facts(runs.starts_at, runs.resets_at) == (hour_of(at), hour_of(at) + timedelta(hours=1))
    assert facts(tokens.metric, tokens.used, tokens.held, tokens.is_used_up) == (
        "token_count", 5, 9, True,
    )  # fmt: skip
    assert facts(tokens.starts_at, tokens.resets_at) == (day_of(at), day_of(at) + timedelta(days=1))
    assert facts(cents.limit, cents.used, cents.is_used_up) == (None, 7, False)
    assert facts(cents.starts_at, cents.resets_at) == (BEGAN, ENDS)


def test_a_limit_with_overage_is_never_used_up() -> None:
    at = datetime(2026, 11, 29, 14, 5, tzinfo=UTC)
    seen = entitled({"token_count": 5}, "token_count")
    tokens = metric_usage(seen, used(9, 9, 9), at, BEGAN)[1]
    assert facts(tokens.limit, tokens.used, tokens.is_used_up) == (Limit(count=5), 9, False)
    assert allowance_left(seen, used(9, 9, 9)) == Allowance()


@pytest.mark.parametrize(
    ("per", "left"), [("hour", 10 - 2 - 1), ("day", 10 - 5 - 1), ("period", 10 - 7 - 1)]
)
def test_what_is_left_is_that_of_the_window(per: str, left: int) -> None:
    limit = {"count": 10, "per": per}
    seen = entitled({"token_count": limit, "cost_cents": limit})
    allowance = allowance_left(seen, used(2, 5, 7, held=1))
    assert allowance == Allowance(token_count=left, cost_cents=Decimal(left))


def test_nothing_is_left_beyond_the_limit() -> None:
    seen = entitled({"token_count": 5, "cost_cents": 5})
    assert allowance_left(seen, used(9, 9, 9)) == Allowance(token_count=0, cost_cents=Decimal(0))


def test_each_metric_can_have_an_overage_price() -> None:
    assert set(get_args(OverageName)) == set(Metric)


def test_usage_adds_up() -> None:
    total = used(1, 2, 3)[LimitWindow.HOUR] + used(1, 2, 3, held=4)[LimitWindow.DAY]
    assert facts(total.of(Metric.TOKEN_COUNT), total.held(Metric.TOKEN_COUNT)) == (3, 7)
    assert facts(total.of(Metric.COST_CENTS), total.held(Metric.COST_CENTS)) == (3, 7)
    assert total.held(Metric.PROMPT_TOKEN_COUNT) == 3


def test_a_new_subscription_gets_the_metered_prices_of_the_present_overage() -> None:
    def price(name: str) -> dict[str, Any]:
        terms = {"unit_amount_decimal": "0.5", "unit_count": 1}
        return terms | {"stripe_meter_id": "mtr", "event_name": "x", "stripe_price_id": name}

    stored = {
        name: price(f"price_{name}") for name in ("token_count", "cost_cents", "agent_run_count")
    }
    present: dict[str, Any] = {"token_count": {}, "agent_run_count": {}}
    assert metered_price_ids(present, stored) == ("price_agent_run_count", "price_token_count")
    assert metered_price_ids({}, stored) == ()
    assert metered_price_ids(present, {}) == ()
