"""Limits of what objects can hold, each rule by its row in BEHAVIOUR.md."""

from typing import Any

import pytest
import stripe

from tests.sandbox.places import World


def refusal(call: Any, *args: Any) -> Any:
    """Return the error of what is refused with 400."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        call(*args)
    assert refused.value.http_status == 400
    return refused.value


def test_metadata_has_fifty_keys_at_most(world: World) -> None:
    api = world.api.customers
    many = {f"key{number}": "x" for number in range(50)}
    api.update(world.customer, {"metadata": many})
    assert refusal(api.create, {"metadata": {**many, "more": "x"}}).param == "metadata"
    refusal(api.update, world.customer, {"metadata": {"more": "x"}})
    swapped = api.update(world.customer, {"metadata": {"key0": "", "more": "x"}})
    assert len(swapped.metadata.to_dict()) == 50


def test_metadata_has_keys_of_40_and_values_of_500_characters(world: World) -> None:
    api = world.api.products
    api.create({"name": "Lamp", "metadata": {"k" * 40: "v" * 500}})
    for wrong, what in (({"k" * 41: "v"}, "keys"), ({"k": "v" * 501}, "values")):
        error = refusal(api.create, {"name": "Lamp", "metadata": wrong})
        assert f"Metadata {what} can have up to" in str(error)
    item = {"price": world.price(), "metadata": {"k": "v" * 501}}
    refusal(
        world.api.subscriptions.create,
        {"customer": world.customer, "items": [item], "payment_behavior": "default_incomplete"},
    )


@pytest.mark.parametrize(
    "email", ["eve", "eve@", "@example.com", "eve@example", "e ve@example.com"]
)
def test_an_email_address_must_be_one(email: str, world: World) -> None:
    for call, form in (
        (world.api.customers.create, {"email": email}),
        (world.api.customers.update, {"email": email}),
        (
            world.api.payment_intents.create,
            {"amount": 500, "currency": "usd", "receipt_email": email},
        ),
    ):
        ids = (world.customer,) if call == world.api.customers.update else ()
        error = refusal(call, *ids, form)
        assert (error.code, error.param) == ("email_invalid", next(reversed(form)))
    kept = world.api.customers.update(world.customer, {"email": "eve+1@mail.example.com"})
    assert kept.email == "eve+1@mail.example.com"


@pytest.mark.parametrize(
    ("interval", "most"), [("day", 1_095), ("week", 156), ("month", 36), ("year", 3)]
)
def test_a_price_recurs_every_three_years_at_least(interval: str, most: int, world: World) -> None:
    world.price(interval=interval, interval_count=most)
    error = refusal(lambda: world.price(interval=interval, interval_count=most + 1))
    assert error.param == "recurring[interval_count]"
    product = world.api.products.create({"name": "Lamp"}).id
    recurring = {"interval": interval, "interval_count": most + 1}
    data = {"currency": "usd", "product": product, "recurring": recurring, "unit_amount": 100}
    items = [{"price_data": data}]
    refusal(world.api.subscriptions.create, {"customer": world.customer, "items": items})


def test_a_currency_must_be_one(world: World) -> None:
    error = refusal(lambda: world.price(currency="xyz"))
    assert error.param == "currency"
    assert "Stripe currently supports these currencies" in str(error)
    item = {"customer": world.customer, "amount": 500, "currency": "xyz"}
    refusal(world.api.invoice_items.create, item)
    coupon = {"amount_off": 500, "currency": "xyz", "duration": "once"}
    refusal(world.api.coupons.create, coupon)


def test_a_trial_is_two_years_long_at_most(world: World) -> None:
    year = 366 * 86_400
    wanted = {"customer": world.customer, "items": [{"price": world.price()}]}
    refusal(world.api.subscriptions.create, {**wanted, "trial_end": world.now + 2 * year + 1})
    refusal(world.api.subscriptions.create, {**wanted, "trial_period_days": 731})
    assert world.subscribe(trial_end=world.now + 2 * year - 3 * 86_400).status == "trialing"


def test_names_and_descriptions_have_a_length(world: World) -> None:
    api = world.api.customers
    for field, most in (("name", 256), ("phone", 20), ("description", 5_000)):
        api.update(world.customer, {field: "1" * most})
        assert refusal(api.update, world.customer, {field: "1" * (most + 1)}).param == field
    world.give_card()
    started = world.subscribe(description="d" * 500)
    refusal(world.api.subscriptions.update, started.id, {"description": "d" * 501})


def test_an_invoice_has_250_items_at_most(world: World) -> None:
    wanted = {"customer": world.customer, "currency": "usd", "auto_advance": False}
    invoice = world.api.invoices.create(wanted)
    lines = [{"amount": 1} for _ in range(125)]
    for _ in range(2):
        world.api.invoices.add_lines(invoice.id, {"lines": lines})
    refusal(world.api.invoices.add_lines, invoice.id, {"lines": lines[:1]})
