"""What Stripe's public subscription gym wants of a solution holds here, said in our own words.

The graders are in the repository stripe/ai, under `benchmarks/subscription-gym`: ten tasks, each
of them here. Their solutions say `iterations` where the present version has `duration`.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sandbox.places import World

HOME, EVERYWHERE, HOODIE = 6_900, 9_900, 1_200
EVE = "eve@example.com"


def moment(year: int, month: int, day: int) -> int:
    """Return nine o'clock of a day."""
    return int(datetime(year, month, day, 9, tzinfo=UTC).timestamp())


@pytest.fixture
def gym(place: Any) -> Any:
    """A customer who joins on the first of the month."""
    world = World(place, moment(2032, 3, 1))
    yield world
    world.end()


def club(world: World, name: str, amount: int) -> str:
    """Return the price of a product that brings it along as its default."""
    data = {"unit_amount": amount, "currency": "usd", "recurring": {"interval": "month"}}
    product = world.api.products.create({"name": name, "default_price_data": data})
    return str(product.default_price)


def join(world: World, price: str, **params: Any) -> Any:
    """Subscribe without a card, and see what has to be confirmed."""
    wanted = {
        "customer": world.customer,
        "items": [{"price": price, "quantity": 1}],
        "payment_behavior": "default_incomplete",
        "expand": ["latest_invoice.confirmation_secret", "pending_setup_intent"],
        **params,
    }
    made = world.api.subscriptions.create(wanted)
    assert [(item.price.id, item.quantity) for item in made["items"].data] == [(price, 1)]
    return made


def test_a_plain_subscription_waits_with_a_secret(gym: World) -> None:
    made = join(gym, club(gym, "Home", HOME))
    assert (made.status, made.trial_end, made.discounts) == ("incomplete", None, [])
    again = gym.api.subscriptions.retrieve(
        made.id, {"expand": ["latest_invoice.confirmation_secret"]}
    )
    secrets = {one.latest_invoice.confirmation_secret.client_secret for one in (made, again)}
    assert len(secrets) == 1
    assert gym.api.customers.retrieve(made.customer).email == EVE


def test_a_one_time_item_comes_onto_the_first_invoice_only(gym: World) -> None:
    product = gym.api.products.create({"name": "Hoodie"})
    hoodie = gym.api.prices.create(
        {"product": product.id, "unit_amount": HOODIE, "currency": "usd"}
    )
    extra = [{"price": hoodie.id, "quantity": 1}]
    made = join(gym, club(gym, "Home", HOME), add_invoice_items=extra)
    assert made.status == "incomplete"
    assert made.latest_invoice.amount_due == HOME + HOODIE
    assert len(made.latest_invoice.lines.data) == 2


def test_a_trial_asks_for_a_card_that_it_does_not_charge(gym: World) -> None:
    made = join(gym, club(gym, "Home", HOME), trial_period_days=14)
    assert (made.status, made.trial_end) == ("trialing", moment(2032, 3, 15))
    assert made.latest_invoice.amount_due == 0
    assert "_secret_" in made.pending_setup_intent.client_secret


def test_a_discount_and_an_anchor_on_the_fifth(gym: World) -> None:
    coupon = gym.api.coupons.create({"percent_off": 20, "duration": "forever"})
    made = join(
        gym,
        club(gym, "Home", HOME),
        discounts=[{"coupon": coupon.id}],
        billing_cycle_anchor=moment(2032, 4, 5) - 31 * 86_400 + 4 * 86_400,
    )
    assert (made.status, made.trial_end, len(made.discounts)) == ("incomplete", None, 1)
    assert made.billing_cycle_anchor == moment(2032, 3, 9)
    assert 0 < made.latest_invoice.amount_due < HOME * 8 // 10
    assert "_secret_" in made.latest_invoice.confirmation_secret.client_secret


def test_usage_is_billed_when_the_period_is_over(gym: World) -> None:
    meter = gym.api.billing.meters.create(
        {
            "display_name": "Charging",
            "event_name": f"charging_{gym.clock[-8:]}",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "value_settings": {"event_payload_key": "watt_hours"},
        }
    )
    price = gym.api.prices.create(
        {
            "currency": "usd",
            "unit_amount": 45,
            "billing_scheme": "per_unit",
            "transform_quantity": {"divide_by": 1_000, "round": "up"},
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            "product_data": {"name": "Charging"},
        }
    )
    gym.give_card()
    started = gym.subscribe(items=[{"price": price.id}])
    [item] = started["items"].data
    assert (started.status, started.latest_invoice.amount_due) == ("active", 0)
    assert getattr(item, "quantity", None) is None
    payload = {"stripe_customer_id": gym.customer, "watt_hours": "100000"}
    gym.api.billing.meter_events.create(
        {"event_name": meter.event_name, "payload": payload, "timestamp": gym.now}
    )
    billed = gym.renew(started.id).latest_invoice
    assert (billed.status, billed.amount_due) == ("paid", 4_500)
    [line] = billed.lines.data
    assert (line.pricing.price_details.price, line.quantity) == (price.id, 100_000)


def upgrade(world: World, started: Any, price: str) -> dict[str, Any]:
    """Return the change of a subscription's one item to another price."""
    item = started["items"].data[0].id
    return {"items": [{"id": item, "price": price, "quantity": 1}]}


def test_an_upgrade_costs_no_more_than_the_difference(gym: World) -> None:
    home, everywhere = club(gym, "Home", HOME), club(gym, "Everywhere", EVERYWHERE)
    gym.give_card()
    started = gym.subscribe(home)
    gym.advance(to=moment(2032, 3, 15))
    change = upgrade(gym, started, everywhere) | {"proration_behavior": "always_invoice"}
    gym.api.subscriptions.update(started.id, change)
    after = gym.see(started.id)
    [item] = after["items"].data
    assert (after.status, item.price.id, item.quantity) == ("active", everywhere, 1)
    assert (after.trial_end, after.discounts) == (None, [])
    assert 0 < after.latest_invoice.amount_due < EVERYWHERE - HOME


def test_a_preview_says_what_an_upgrade_would_cost(gym: World) -> None:
    home, everywhere = club(gym, "Home", HOME), club(gym, "Everywhere", EVERYWHERE)
    gym.give_card()
    started = gym.subscribe(home)
    gym.advance(to=moment(2032, 3, 15))
    details = {
        **upgrade(gym, started, everywhere),
        "proration_date": moment(2032, 3, 20),
        "proration_behavior": "always_invoice",
    }
    preview = gym.api.invoices.create_preview(
        {"customer": gym.customer, "subscription": started.id, "subscription_details": details}
    )
    unused, remaining = preview.lines.data
    assert (preview.object, bool(preview.id)) == ("invoice", True)
    assert (unused.pricing.price_details.price, unused.quantity) == (home, 1)
    assert unused.description.startswith("Unused time on Home")
    assert (remaining.pricing.price_details.price, remaining.quantity) == (everywhere, 1)
    assert remaining.description.startswith("Remaining time on Everywhere")
    assert 0 < preview.amount_due < EVERYWHERE - HOME


def test_a_cancellation_on_a_day_without_prorations_bills_nothing(gym: World) -> None:
    gym.give_card()
    started = gym.subscribe(club(gym, "Home", HOME))
    last_day = moment(2032, 3, 20)
    gym.api.subscriptions.update(started.id, {"cancel_at": last_day, "proration_behavior": "none"})
    planned = gym.see(started.id)
    assert (planned.status, planned.cancel_at) == ("active", last_day)
    gym.advance(to=last_day)
    gym.advance(to=last_day + 3_600)
    ended = gym.see(started.id)
    assert (ended.status, ended.latest_invoice.id) == ("canceled", started.latest_invoice.id)


SECRET = "subscription.latest_invoice.confirmation_secret"


def in_terms_of_price(phase: Any) -> list[tuple[str, int]]:
    return [(item.price, item.quantity) for item in phase["items"]]


def test_an_instalment_plan_ends_after_six_months(gym: World) -> None:
    sofa = club(gym, "Sofa", 15_000)
    phase = {
        "items": [{"price": sofa, "quantity": 1}],
        "duration": {"interval": "month", "interval_count": 6},
    }
    made = gym.api.subscription_schedules.create(
        {
            "customer": gym.customer,
            "start_date": "now",
            "end_behavior": "cancel",
            "phases": [phase],
            "expand": [SECRET],
        }
    )
    finalized = gym.api.invoices.finalize_invoice(
        made.subscription.latest_invoice.id, {"expand": ["confirmation_secret"]}
    )
    seen = gym.api.subscription_schedules.retrieve(made.id, {"expand": [SECRET]})
    [only] = seen.phases
    start, end = moment(2032, 3, 1), moment(2032, 9, 1)
    assert (seen.status, seen.end_behavior) == ("active", "cancel")
    assert in_terms_of_price(only) == [(sofa, 1)]
    assert (seen.current_phase.start_date, only.start_date, only.end_date) == (start, start, end)
    assert gym.api.customers.retrieve(seen.customer).email == EVE
    secret = seen.subscription.latest_invoice.confirmation_secret.client_secret
    assert secret == finalized.confirmation_secret.client_secret
    assert "_secret_" in secret


def test_a_downgrade_waits_for_the_end_of_the_cycle(gym: World) -> None:
    everywhere, home = club(gym, "Everywhere", EVERYWHERE), club(gym, "Home", HOME)
    gym.give_card()
    started = gym.subscribe(everywhere)
    gym.advance(to=moment(2032, 3, 15))
    schedule = gym.api.subscription_schedules.create({"from_subscription": started.id})
    now = {
        "items": [{"price": everywhere, "quantity": 1}],
        "start_date": schedule.phases[0].start_date,
        "end_date": schedule.phases[0].end_date,
    }
    then = {"items": [{"price": home, "quantity": 1}], "duration": {"interval": "month"}}
    gym.api.subscription_schedules.update(
        schedule.id, {"phases": [now, then], "end_behavior": "release"}
    )
    seen = gym.api.subscription_schedules.retrieve(schedule.id, {"expand": [SECRET]})
    first, second = seen.phases
    item = gym.see(started.id)["items"].data[0]
    assert (seen.status, seen.end_behavior) == ("active", "release")
    assert in_terms_of_price(first) == [(everywhere, 1)]
    assert first.start_date == item.current_period_start
    assert first.end_date == item.current_period_end == moment(2032, 4, 1)
    assert in_terms_of_price(second) == [(home, 1)]
    assert second.end_date == moment(2032, 5, 1)
    billed = gym.renew(started.id)
    assert [line.amount for line in billed.latest_invoice.lines.data] == [HOME]
