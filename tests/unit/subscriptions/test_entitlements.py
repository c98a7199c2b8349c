"""What several subscriptions bring together."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.plans import Limit, LimitWindow
from domain.subscriptions.entitlements import (
    Entitlements,
    SubscriptionEntitlement,
    combine_entitlements,
)
from domain.subscriptions.lifecycle import Access

PLAN, OTHER = uuid4(), uuid4()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATER = NOW + timedelta(days=9)


def limits_of(seen: Entitlements) -> Any:
    """The limits as they are shown."""
    return seen.model_dump()["limits"]


def test_nothing_brings_nothing() -> None:
    seen = combine_entitlements([])
    assert (seen.access, seen.features, limits_of(seen)) == (Access.NONE, {}, {})
    assert seen.resets_at is None


def test_limits_add_up_and_the_best_access_counts() -> None:
    one = SubscriptionEntitlement(
        plan_id=PLAN, access=Access.GRACE, limits={"token_count": 5}, current_period_end=LATER
    )
    two = SubscriptionEntitlement(
        plan_id=OTHER, access=Access.FULL, limits={"token_count": 7}, current_period_end=NOW
    )
    seen = combine_entitlements([one, two])
    assert (seen.access, limits_of(seen), seen.resets_at) == (Access.FULL, {"token_count": 12}, NOW)


def test_copies_of_one_plan_bring_its_limits_once() -> None:
    copy = SubscriptionEntitlement(plan_id=PLAN, access=Access.FULL, limits={"token_count": 5})
    other = SubscriptionEntitlement(plan_id=OTHER, access=Access.FULL, limits={"token_count": 7})
    assert limits_of(combine_entitlements([copy, copy, other, copy])) == {"token_count": 12}


def test_one_without_a_limit_lifts_it() -> None:
    capped = SubscriptionEntitlement(
        plan_id=PLAN, access=Access.FULL, limits={"token_count": 5, "cost_cents": 1}
    )
    free = SubscriptionEntitlement(plan_id=OTHER, access=Access.FULL, limits={"cost_cents": 2})
    assert limits_of(combine_entitlements([capped, free])) == {"cost_cents": 3}


def test_without_access_it_brings_nothing() -> None:
    ended = SubscriptionEntitlement(
        plan_id=PLAN,
        access=Access.NONE,
        features={"support": True},
        limits={"token_count": 5},
        current_period_end=NOW,
    )
    seen = combine_entitlements(
        [
            ended,
            SubscriptionEntitlement(plan_id=OTHER, access=Access.GRACE, limits={"token_count": 1}),
        ]
    )
    assert (seen.access, seen.features, limits_of(seen)) == (Access.GRACE, {}, {"token_count": 1})
    assert seen.resets_at is None


def test_the_first_one_that_has_a_feature_says_what_it_is() -> None:
    first = SubscriptionEntitlement(
        plan_id=PLAN, access=Access.FULL, features={"support": "by phone"}
    )
    second = SubscriptionEntitlement(
        plan_id=OTHER, access=Access.FULL, features={"support": "by mail", "export": True}
    )
    assert combine_entitlements([first, second]).features == {"support": "by phone", "export": True}


def grant(plan: UUID, limit: Any, days: int = 30, **more: Any) -> SubscriptionEntitlement:
    return SubscriptionEntitlement(
        plan_id=plan,
        access=Access.FULL,
        limits={"token_count": limit},
        current_period_start=NOW,
        current_period_end=NOW + timedelta(days=days),
        **more,
    )


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ({"count": 5, "per": "hour"}, {"count": 7, "per": "hour"}, {"count": 12, "per": "hour"}),
        ({"count": 5, "per": "day"}, {"count": 7, "per": "period"}, 157),
        ({"count": 5, "per": "hour"}, {"count": 7, "per": "day"}, {"count": 127, "per": "day"}),
        ({"count": 1, "per": "hour"}, 7, 727),
    ],
)
def test_limits_of_different_windows_add_up_in_the_longest(one: Any, two: Any, both: Any) -> None:
    for pair in ((grant(PLAN, one), grant(OTHER, two)), (grant(OTHER, two), grant(PLAN, one))):
        assert limits_of(combine_entitlements(pair)) == {"token_count": both}


def test_each_plan_counts_its_own_windows() -> None:
    daily = {"count": 5, "per": "day"}
    week, month = grant(PLAN, daily, days=7), grant(OTHER, 1, days=30)
    assert limits_of(combine_entitlements([week, month])) == {"token_count": 36}


def test_overage_of_one_subscription_lifts_the_refusal() -> None:
    billed = grant(PLAN, 5, overage_metrics={"token_count"})
    seen = combine_entitlements([billed, grant(OTHER, 7)])
    assert limits_of(seen) == {"token_count": 12}
    assert seen.overage_metrics == frozenset({"token_count"})
    ended = billed.model_copy(update={"access": Access.NONE})
    assert combine_entitlements([ended, grant(OTHER, 7)]).overage_metrics == frozenset()


@given(st.integers(0, 2**53), st.sampled_from(LimitWindow))
def test_a_limit_is_read_as_it_was_stored(count: int, per: LimitWindow) -> None:
    limit = Limit(count=count, per=per)
    assert Limit.model_validate(limit.model_dump()) == limit


GRANTS = st.builds(
    SubscriptionEntitlement,
    plan_id=st.uuids(),
    access=st.sampled_from(Access),
    limits=st.dictionaries(st.sampled_from("abc"), st.integers(0, 100)),
    current_period_end=st.none() | st.sampled_from([NOW, LATER]),
)


@given(st.lists(GRANTS, max_size=5), st.randoms())
def test_in_whatever_order_they_come_they_bring_the_same(
    grants: list[SubscriptionEntitlement], chance: Any
) -> None:
    """Features aside: there the first one says."""
    mixed = list(grants)
    chance.shuffle(mixed)
    assert combine_entitlements(mixed) == combine_entitlements(grants)


@given(st.lists(GRANTS, max_size=5), GRANTS)
def test_one_more_never_takes_anything_away(
    grants: list[SubscriptionEntitlement], one_more: SubscriptionEntitlement
) -> None:
    before, after = combine_entitlements(grants), combine_entitlements([*grants, one_more])
    order = [Access.FULL, Access.GRACE, Access.NONE]
    assert order.index(after.access) <= order.index(before.access)
    if before.access is Access.NONE:
        return
    for name, limit in after.limits.items():
        assert limit.count >= before.limits[name].count
