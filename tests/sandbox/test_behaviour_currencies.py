"""One currency for all that a customer is billed again and again, each rule by its row."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import stripe

from tests.sandbox.places import World

COMBINED = "You cannot combine currencies on a single customer"
DAY = 86_400


def subscription(world: World, currency: str) -> Any:
    return world.subscribe(world.price(currency=currency))


def schedule(world: World, currency: str) -> Any:
    phases = [{"items": [{"price": world.price(currency=currency)}]}]
    wanted = {"customer": world.customer, "phases": phases, "start_date": world.now + DAY}
    return world.api.subscription_schedules.create(wanted)


def waiting_item(world: World, currency: str) -> Any:
    wanted = {"customer": world.customer, "amount": 500, "currency": currency}
    return world.api.invoice_items.create(wanted)


def checkout(world: World, currency: str) -> Any:
    lines = [{"price": world.price(currency=currency), "quantity": 1}]
    return world.api.checkout.sessions.create(
        {
            "customer": world.customer,
            "line_items": lines,
            "mode": "subscription",
            "success_url": "https://example.com/done",
        }
    )


def preview(world: World, currency: str) -> Any:
    items = [{"price": world.price(currency=currency)}]
    wanted = {"customer": world.customer, "subscription_details": {"items": items}}
    return world.api.invoices.create_preview(wanted)


def preview_of_item(world: World, currency: str) -> Any:
    items = [{"price": world.price()}]
    extras = [{"amount": 500, "currency": currency}]
    wanted = {"customer": world.customer, "invoice_items": extras}
    return world.api.invoices.create_preview({**wanted, "subscription_details": {"items": items}})


HOLDERS = [subscription, schedule, waiting_item, checkout]


def refusal(ask: Callable[[], Any], text: str = COMBINED) -> Any:
    """Return the error of what Stripe refuses with 400 and these words."""
    with pytest.raises(stripe.InvalidRequestError, match=text) as refused:
        ask()
    assert refused.value.http_status == 400
    return refused.value.error


@pytest.mark.parametrize("second", [*HOLDERS, preview, preview_of_item])
@pytest.mark.parametrize("first", HOLDERS)
def test_a_customer_is_billed_in_one_currency(first: Any, second: Any, world: World) -> None:
    world.give_card()
    first(world, "usd")
    error = refusal(lambda: second(world, "eur"))
    assert error.message.endswith("with currency usd.")
    second(world, "usd")


@pytest.mark.parametrize("kind", [subscription, schedule, waiting_item])
def test_the_first_thing_that_is_billed_sets_the_customers_currency(
    kind: Any, world: World
) -> None:
    world.give_card()
    assert world.api.customers.retrieve(world.customer).currency is None
    kind(world, "eur")
    assert world.api.customers.retrieve(world.customer).currency == "eur"


def test_once_nothing_is_billed_a_subscription_in_another_currency_can_begin(world: World) -> None:
    world.give_card()
    first = subscription(world, "usd")
    world.api.subscriptions.cancel(first.id)
    assert subscription(world, "eur").currency == "eur"
    assert world.api.customers.retrieve(world.customer).currency == "eur"


def test_an_invoice_of_its_own_can_be_in_another_currency(world: World) -> None:
    world.give_card()
    subscription(world, "usd")
    wanted = {"customer": world.customer, "currency": "eur"}
    invoice = world.api.invoices.create({**wanted, "auto_advance": False})
    world.api.invoice_items.create({**wanted, "amount": 700, "invoice": invoice.id})
    paid = world.api.invoices.pay(invoice.id)
    assert (paid.status, paid.currency, paid.amount_paid) == ("paid", "eur", 700)
    assert world.api.customers.retrieve(world.customer).currency == "usd"


def test_an_invoice_for_a_subscription_is_in_its_currency(world: World) -> None:
    world.give_card()
    running = subscription(world, "usd")
    extra = {"customer": world.customer, "subscription": running.id}
    world.api.invoice_items.create({**extra, "amount": 500, "currency": "usd"})
    refusal(lambda: world.api.invoices.create({**extra, "currency": "eur"}))


def test_a_coupon_takes_off_its_own_currency_only(world: World) -> None:
    world.give_card()
    coupon = world.api.coupons.create({"amount_off": 500, "currency": "usd", "duration": "once"}).id
    euro = world.price(currency="eur")
    wish = [{"coupon": coupon}]
    refusal(lambda: world.subscribe(euro, discounts=wish))
    refusal(lambda: world.subscribe(items=[{"price": euro, "discounts": wish}]))
    refusal(lambda: world.api.invoices.create(
        {"customer": world.customer, "currency": "eur", "discounts": wish}
    ))  # fmt: skip
    running = world.subscribe(euro)
    refusal(lambda: world.api.subscriptions.update(running.id, {"discounts": wish}))
    phases = [{"items": [{"price": euro}], "discounts": wish}]
    refusal(lambda: world.api.subscription_schedules.create(
        {"customer": world.customer, "phases": phases, "start_date": "now"}
    ))  # fmt: skip
    refusal(lambda: world.api.checkout.sessions.create(
        {
            "discounts": wish,
            "line_items": [{"price": euro, "quantity": 1}],
            "mode": "subscription",
            "success_url": "https://example.com/done",
        }
    ))  # fmt: skip


def test_a_running_subscription_keeps_its_currency(world: World) -> None:
    world.give_card()
    running = subscription(world, "usd")
    euro = world.price(currency="eur")
    words = "The price specified only supports `eur`. This doesn't match the expected currency"
    item = {"id": running["items"].data[0].id, "price": euro}
    update = {"items": [item]}
    error = refusal(lambda: world.api.subscriptions.update(running.id, update), words)
    assert error.param == "items[0][price]"
    added = {"subscription": running.id, "price": euro}
    refusal(lambda: world.api.subscription_items.create(added), words)
    changed = {"subscription": running.id, "subscription_details": update}
    refusal(lambda: world.api.invoices.create_preview(changed), words)
    confirmed = {"subscription": running.id, "items": [{**item, "quantity": 1}]}
    flow = {"type": "subscription_update_confirm", "subscription_update_confirm": confirmed}
    features: Any = {"subscription_update": {"enabled": True, "default_allowed_updates": ["price"]}}
    settings = world.api.billing_portal.configurations.create({"features": features})
    portal = {"customer": world.customer, "configuration": settings.id, "flow_data": flow}
    refusal(lambda: world.api.billing_portal.sessions.create(portal), words)


def test_a_balance_is_applied_to_invoices_in_its_currency_only(world: World) -> None:
    world.give_card()
    world.api.customers.balance_transactions.create(
        world.customer, {"amount": -1_500, "currency": "usd"}
    )
    world.api.customers.balance_transactions.create(
        world.customer, {"amount": -200, "currency": "eur"}
    )
    wanted = {"customer": world.customer, "currency": "eur"}
    invoice = world.api.invoices.create({**wanted, "auto_advance": False})
    world.api.invoice_items.create({**wanted, "amount": 700, "invoice": invoice.id})
    assert world.api.invoices.pay(invoice.id).amount_paid == 500
    customer = world.api.customers.retrieve(world.customer)
    assert (customer.currency, customer.balance) == ("usd", -1_500)
    started = subscription(world, "usd")
    assert started.latest_invoice.amount_paid == 500


def test_one_price_is_for_one_item(world: World) -> None:
    world.give_card()
    price, other = world.price(), world.price(700)
    words = f"Cannot add multiple subscription items with the same plan: {price}"
    twice = [{"price": price}, {"price": price, "quantity": 2}]
    refusal(lambda: world.subscribe(items=twice), words)
    running = world.subscribe(items=[{"price": price}, {"price": other}])
    subscriptions, second = world.api.subscriptions, running["items"].data[1].id
    for entry in ({"price": price}, {"id": second, "price": price}):
        update = {"items": [entry]}
        refusal(partial(subscriptions.update, running.id, update), words)
    added = {"subscription": running.id, "price": price}
    refusal(lambda: world.api.subscription_items.create(added), words)
    planned = {"customer": world.customer, "phases": [{"items": twice}], "start_date": "now"}
    refusal(lambda: world.api.subscription_schedules.create(planned), words)
    lines = [{"price": price, "quantity": 1}, {"price": price, "quantity": 1}]
    hosted = {"line_items": lines, "mode": "subscription", "success_url": "https://example.com"}
    refusal(lambda: world.api.checkout.sessions.create(hosted), words)
    assert len(world.see(running.id)["items"].data) == 2
