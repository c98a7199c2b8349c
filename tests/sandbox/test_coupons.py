"""Coupons and promotion codes: what they take off, and who may have them when."""

from fractions import Fraction
from typing import Any

import pytest
import stripe

from sandbox.stripe import discounts
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox

DAY = 86_400


@pytest.fixture
def coupon(sandbox: Sandbox) -> Any:
    return sandbox.api.coupons.create({"percent_off": 12.5, "name": "Eighth"})


def refused(call: Any, *args: Any, match: str | None = None) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError, match=match) as caught:
        call(*args)
    return caught.value


def test_coupons_can_be_made_changed_and_deleted(sandbox: Sandbox, shop: Shop) -> None:
    api = sandbox.api.coupons
    product = sandbox.api.prices.retrieve(shop.price).product
    made = api.create(
        {
            "id": f"Spring-{shop.customer}",
            "amount_off": 500,
            "currency": "EUR",
            "duration": "repeating",
            "duration_in_months": 3,
            "applies_to": {"products": [product]},
            "metadata": {"a": "1"},
        }
    )
    assert (made.amount_off, made.currency, made.percent_off) == (500, "eur", None)
    assert (made.valid, made.times_redeemed, made.duration_in_months) == (True, 0, 3)
    seen = api.retrieve(made.id, {"expand": ["applies_to"]})
    assert seen.applies_to.products == [product]
    changed = api.update(made.id, {"name": "Spring", "metadata": {"a": "", "b": "2"}})
    assert (changed.name, changed.metadata.to_dict()) == ("Spring", {"b": "2"})
    assert refused(api.create, {"id": made.id, "percent_off": 1}).code == "resource_already_exists"
    assert api.list({"limit": 1}).data[0].id == made.id
    assert api.delete(made.id).deleted is True
    assert refused(api.retrieve, made.id).code == "resource_missing"
    told = sandbox.api.events.list({"types": ["coupon.*"], "limit": 3}).data
    assert [event.type for event in told] == ["coupon.deleted", "coupon.updated", "coupon.created"]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 5, "amount_off": 5, "currency": "usd"}, None),
        ({"amount_off": 5}, "currency"),
        ({"percent_off": 0}, "percent_off"),
        ({"percent_off": 100.5}, "percent_off"),
        ({"percent_off": 5, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 5, "duration": "once", "duration_in_months": 2}, "duration_in_months"),
        ({"percent_off": 5, "redeem_by": 1}, "redeem_by"),
        ({"percent_off": 5, "applies_to": {"products": ["no"]}}, "applies_to[products][0]"),
    ],
)
def test_senseless_coupons_are_refused(
    form: dict[str, Any], param: str | None, sandbox: Sandbox
) -> None:
    assert refused(sandbox.api.coupons.create, form).param == param


def test_promotion_codes(sandbox: Sandbox, shop: Shop, coupon: Any) -> None:
    api = sandbox.api.promotion_codes
    promotion = {"type": "coupon", "coupon": coupon.id}
    name = f"Code-{shop.customer[4:]}"
    made = api.create(
        {
            "promotion": promotion,
            "code": name,
            "restrictions": {"minimum_amount": 900, "minimum_amount_currency": "USD"},
        }
    )
    assert (made.active, made.promotion.coupon, made.customer) == (True, coupon.id, None)
    assert made.restrictions.to_dict() == {
        "first_time_transaction": False, "minimum_amount": 900, "minimum_amount_currency": "usd",
    }  # fmt: skip
    seen = api.retrieve(made.id, {"expand": ["promotion.coupon"]})
    assert seen.promotion.coupon.percent_off == 12.5
    assert [found.id for found in api.list({"code": name.upper()}).data] == [made.id]
    wanted = {"promotion": promotion, "code": name.upper()}
    refused(api.create, wanted, match="already exists")
    refused(api.create, {**wanted, "customer": shop.customer}, match="already exists")
    assert api.update(made.id, {"active": False}).active is False
    again = api.create({**wanted, "customer": shop.customer})
    refused(api.update, made.id, {"active": True}, match="already exists")
    assert [c.id for c in api.list({"coupon": coupon.id, "active": True}).data] == [again.id]
    assert len(api.create({"promotion": promotion}).code) == 8
    refused(api.create, {"promotion": promotion, "code": "no spaces"}, match="letters")
    sandbox.api.coupons.delete(coupon.id)
    assert api.retrieve(again.id).active is False


def test_limits_of_codes_are_within_the_coupons(own: Sandbox) -> None:
    end = int(own.now()) + 10 * DAY
    coupon = own.api.coupons.create({"percent_off": 5, "redeem_by": end, "max_redemptions": 2})
    api, promotion = own.api.promotion_codes, {"type": "coupon", "coupon": coupon.id}
    for name, value in (("expires_at", end + 1), ("expires_at", 5), ("max_redemptions", 3)):
        assert refused(api.create, {"promotion": promotion, name: value}).param == name
    short = api.create({"promotion": promotion, "expires_at": end - 5 * DAY})
    long = api.create({"promotion": promotion})
    own.advance(days=6)
    assert (api.retrieve(short.id).active, api.retrieve(long.id).active) == (False, True)
    refused(api.update, short.id, {"active": True}, match="expired")
    own.advance(days=5)
    assert (own.api.coupons.retrieve(coupon.id).valid, api.retrieve(long.id).active) == (
        False,
        False,
    )
    assert refused(api.create, {"promotion": promotion}).code == "coupon_expired"


def test_who_may_redeem_a_code(sandbox: Sandbox, shop: Shop, coupon: Any) -> None:
    shop.give_card("ok")
    promotion = {"type": "coupon", "coupon": coupon.id}
    stranger = sandbox.api.customers.create({}).id

    def code(**params: Any) -> Any:
        return sandbox.api.promotion_codes.create({"promotion": promotion, **params}).id

    first = code(restrictions={"first_time_transaction": True})
    shop.subscribe(discounts=[{"promotion_code": first}])
    large = code(restrictions={"minimum_amount": 9_000, "minimum_amount_currency": "usd"})
    euros = code(restrictions={"minimum_amount": 1, "minimum_amount_currency": "eur"})
    for wanted, words in (
        (first, "prior transactions"),
        (code(customer=stranger), "another customer"),
        (code(active=False), "not active"),
        (large, "below its minimum"),
        (euros, "below its minimum"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=words) as caught:
            shop.subscribe(discounts=[{"promotion_code": wanted}])
        assert caught.value.param == "discounts[0][promotion_code]"
    seen = sandbox.api.promotion_codes.retrieve(first)
    assert (seen.times_redeemed, sandbox.api.coupons.retrieve(coupon.id).times_redeemed) == (1, 1)


def test_arithmetic() -> None:
    third = {"percent_off": 33.333, "amount_off": None, "currency": None}
    for amount in (0, 1, 2, 3, 999, 1_000, 123_457):
        exact = Fraction("33.333") * amount / 100
        assert discounts.taken_off(third, amount, "usd") == int(exact + Fraction(1, 2))
    half = third | {"percent_off": 50.0}
    assert discounts.taken_off(half, 5, "usd") == 3
    assert discounts.taken_off(half, -500, "usd") == 0
    fixed = {"percent_off": None, "amount_off": 700, "currency": "usd"}
    sums = [discounts.taken_off(fixed, amount, "usd") for amount in (500, 700, 900)]
    assert (sums, discounts.taken_off(fixed, 900, "eur")) == ([500, 700, 700], 0)
    assert discounts.spread(100, [1, 1, 1]) == [34, 33, 33]
    assert discounts.spread(10, [0, 30, 10]) == [0, 8, 2]
    assert discounts.spread(0, [0, 0]) == [0, 0]
    january = 1_769_817_600  # 31 January 2026
    repeating = {"duration": "repeating", "duration_in_months": 1}
    assert discounts.ends_at(repeating, january) == january + 28 * DAY
    assert discounts.ends_at({"duration": "forever"}, january) is None
