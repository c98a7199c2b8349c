"""Products and prices."""

from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.servers import Sandbox

KEY = {"Authorization": "Bearer sk_test_sandbox"}


def price_of(sandbox: Sandbox, **params: Any) -> Any:
    given = {"currency": "usd", "unit_amount": 100, "product_data": {"name": "Lamp"}, **params}
    return sandbox.api.prices.create(given)


def test_products_live_and_go(sandbox: Sandbox) -> None:
    api = sandbox.api.products
    made = api.create(
        {
            "name": "Lamp",
            "images": ["https://x.example/1"],
            "default_price_data": {
                "currency": "eur",
                "unit_amount": 900,
                "recurring": {"interval": "year"},
            },
            "expand": ["default_price"],
        }
    )
    price = made.default_price
    assert (price.unit_amount, price.recurring.interval, price.product) == (900, "year", made.id)
    with pytest.raises(stripe.InvalidRequestError, match="default price"):
        sandbox.api.prices.update(price.id, {"active": False})
    stranger = price_of(sandbox)
    with pytest.raises(stripe.InvalidRequestError, match="another product"):
        api.update(made.id, {"default_price": stranger.id})
    assert api.update(made.id, {"default_price": "", "active": False}).default_price is None
    assert sandbox.api.prices.update(price.id, {"active": False}).active is False
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        api.delete(made.id)
    bare = api.create({"name": "Bare", "id": f"bare-{made.id}"})
    assert {p.id for p in api.list({"ids": [made.id, bare.id]}).data} == {made.id, bare.id}
    assert api.delete(bare.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such product"):
        api.retrieve(bare.id)
    told = sandbox.api.events.list({"type": "product.deleted", "limit": 1}).data
    assert told[0].data.object.id == bare.id


def test_lookup_keys_are_for_one_price(sandbox: Sandbox) -> None:
    first = price_of(sandbox)
    key = f"key-{first.id}"
    assert sandbox.api.prices.update(first.id, {"lookup_key": key}).lookup_key == key
    with pytest.raises(stripe.InvalidRequestError, match="already uses"):
        price_of(sandbox, lookup_key=key)
    second = price_of(sandbox, lookup_key=key, transfer_lookup_key=True)
    assert sandbox.api.prices.retrieve(first.id).lookup_key is None
    assert [p.id for p in sandbox.api.prices.list({"lookup_keys": [key]}).data] == [second.id]


def test_amounts_can_have_fractions(sandbox: Sandbox) -> None:
    fine = sandbox.api.prices.create(
        {"currency": "usd", "unit_amount_decimal": "0.25", "product_data": {"name": "Call"}}
    )
    assert (fine.unit_amount, str(fine.unit_amount_decimal)) == (None, "0.25")
    round_one = sandbox.api.prices.create(
        {"currency": "usd", "unit_amount_decimal": "3.0", "product_data": {"name": "Call"}}
    )
    assert round_one.unit_amount == 3
    for form in ({"unit_amount": 1, "unit_amount_decimal": "1"}, {}):
        with pytest.raises(stripe.InvalidRequestError, match="unit_amount"):
            sandbox.api.prices.create({"currency": "usd", "product_data": {"name": "Call"}, **form})


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"tiers_mode": "graduated"}, "tiers_mode"),
        ({"custom_unit_amount[enabled]": "true"}, "custom_unit_amount"),
        ({"billing_scheme": "tiered"}, "billing_scheme"),
        ({"recurring[interval]": "month", "recurring[usage_type]": "metered"}, "recurring[meter]"),
    ],
)
def test_what_prices_cannot_be_is_refused(
    form: dict[str, str], param: str, sandbox: Sandbox
) -> None:
    base = {"currency": "usd", "unit_amount": "1", "product_data[name]": "x"}
    reply: httpx.Response = sandbox.http.post("/v1/prices", headers=KEY, data={**base, **form})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
