"""How the API itself behaves, each rule by its row in BEHAVIOUR.md."""

import time
from uuid import uuid4

import pytest
import stripe

from tests.sandbox.places import Place, World


def test_a_key_replays_the_answer(place: Place) -> None:
    options = {"idempotency_key": uuid4().hex}
    first = place.api.customers.create({"name": "Eve"}, options)
    second = place.api.customers.create({"name": "Eve"}, options)
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"


def test_a_key_with_other_parameters_is_refused(place: Place) -> None:
    options = {"idempotency_key": uuid4().hex}
    place.api.customers.create({"name": "Eve"}, options)
    with pytest.raises(stripe.IdempotencyError) as refusal:
        place.api.customers.create({"name": "Mallory"}, options)
    assert refusal.value.http_status == 400


def test_a_key_replays_a_decline_too(place: Place) -> None:
    wanted = {
        "amount": 900,
        "currency": "usd",
        "confirm": True,
        "payment_method": "pm_card_chargeDeclined",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }
    options = {"idempotency_key": uuid4().hex}
    charges = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            place.api.payment_intents.create(wanted, options)
        assert declined.value.error is not None
        charges.append(declined.value.error.charge)
    assert charges[0] == charges[1]


def test_a_key_does_not_keep_what_fails_validation(place: Place) -> None:
    options = {"idempotency_key": uuid4().hex}
    with pytest.raises(stripe.InvalidRequestError):
        place.api.refunds.create({"amount": "much"}, options)
    made = place.api.customers.create({"name": "Eve"}, options)
    assert made.name == "Eve"


def test_an_unknown_parameter_is_refused_by_name(place: Place) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.customers.create({"mood": "gay"})
    assert (refusal.value.code, refusal.value.param) == ("parameter_unknown", "mood")


def test_a_missing_parameter_is_named(place: Place) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.prices.create({"unit_amount": 100})
    assert refusal.value.code == "parameter_missing"


def test_what_is_not_there_is_404(place: Place) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.customers.retrieve("cus_nobody")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


def test_an_invalid_key_is_401(place: Place) -> None:
    with pytest.raises(stripe.AuthenticationError) as refusal:
        place.api.customers.list({}, {"api_key": "nonsense"})
    assert refusal.value.http_status == 401


def test_metadata_is_merged_and_unset_by_the_empty_string(place: Place) -> None:
    customer = place.api.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = place.api.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    emptied = place.api.customers.update(customer.id, {"metadata": ""})
    assert emptied.metadata.to_dict() == {}


def test_lists_are_newest_first_and_paged_by_cursor(place: Place) -> None:
    email = f"{uuid4().hex}@example.com"
    ids = [place.api.customers.create({"email": email}).id for _ in range(3)]
    page = place.api.customers.list({"email": email, "limit": 2})
    assert page.has_more is True
    last = place.api.customers.list(
        {"email": email, "limit": 2, "starting_after": page.data[-1].id}
    )
    assert last.has_more is False
    assert {c.id for c in [*page.data, *last.data]} == set(ids)


def test_only_what_is_asked_for_is_expanded(place: Place) -> None:
    product = place.api.products.create({"name": "Behaviour"})
    wanted = {"currency": "usd", "unit_amount": 100, "product": product.id}
    assert place.api.prices.create(wanted).product == product.id
    price = place.api.prices.create({**wanted, "expand": ["product"]})
    assert price.product.name == "Behaviour"


def test_a_price_cannot_be_changed(place: Place) -> None:
    product = place.api.products.create({"name": "Behaviour"})
    wanted = {"currency": "usd", "unit_amount": 100, "product": product.id}
    price = place.api.prices.create(wanted)
    with pytest.raises(stripe.InvalidRequestError):
        place.api.prices.update(price.id, {"unit_amount": 200})
    assert place.api.prices.update(price.id, {"active": False}).active is False


def test_every_change_is_an_event_with_what_it_was_before(world: World) -> None:
    world.api.customers.update(world.customer, {"name": "Eve"})
    told = world.event("customer.updated", world.customer)
    assert told.data.object.name == "Eve"
    assert told.data.previous_attributes.to_dict() == {"name": None}
    assert told.request.id.startswith("req_")


def test_deleting_a_customer_cancels_their_subscriptions(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    assert world.api.customers.delete(world.customer).deleted is True
    assert world.see(started.id).status == "canceled"
    assert world.api.customers.retrieve(world.customer).deleted is True


def test_a_test_clock_only_moves_forward(world: World) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        world.advance(to=world.now - 60)


def test_a_test_clock_moves_by_two_intervals_at_most(world: World) -> None:
    world.give_card()
    world.subscribe()
    with pytest.raises(stripe.InvalidRequestError):
        world.advance(days=80)
    world.advance(days=50)


def test_what_is_on_a_test_clock_has_its_time(place: Place) -> None:
    start = int(time.time()) - 40 * 86_400
    world = World(place, start)
    world.give_card()
    started = world.subscribe()
    assert started.test_clock == world.clock
    day_after = start + 86_400
    assert start <= started.created < day_after
    assert start <= started["items"].data[0].current_period_start < day_after
    world.end()


def test_events_bear_the_time_outside_of_the_test_clock(place: Place) -> None:
    world = World(place, int(time.time()) - 40 * 86_400)
    told = world.event("customer.created", world.customer)
    outside = place.api.products.create({"name": "Behaviour"})
    assert abs(told.created - outside.created) < 600
    assert abs(told.data.object.created - told.created) > 30 * 86_400
    world.end()


def test_deleting_a_test_clock_deletes_its_customers(place: Place) -> None:
    world = World(place)
    world.end()
    assert world.api.customers.retrieve(world.customer).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        world.api.test_helpers.test_clocks.retrieve(world.clock)
