"""How trials and pauses behave, each rule by its row in BEHAVIOUR.md."""

import pytest
import stripe

from tests.sandbox.places import World

DAY = 86_400


def test_a_trial_begins_with_a_free_paid_invoice(world: World) -> None:
    started = world.subscribe(trial_period_days=14)
    assert started.status == "trialing"
    assert started.trial_end - started.trial_start == 14 * DAY
    assert (started.latest_invoice.status, started.latest_invoice.total) == ("paid", 0)
    assert started["items"].data[0].current_period_end == started.trial_end


def test_the_end_of_a_trial_is_announced_three_days_ahead(world: World) -> None:
    started = world.subscribe(trial_period_days=14)
    world.advance(to=started.trial_end - 3 * DAY - 600)
    assert world.event_count("customer.subscription.trial_will_end", started.id) == 0
    world.advance(to=started.trial_end - 3 * DAY + 600)
    told = world.event("customer.subscription.trial_will_end", started.id)
    assert told.data.object.status == "trialing"


def test_a_short_trial_is_announced_at_once(world: World) -> None:
    started = world.subscribe(trial_period_days=1)
    world.event("customer.subscription.trial_will_end", started.id)


def test_a_trial_with_a_card_goes_on_as_a_paid_subscription(world: World) -> None:
    world.give_card()
    started = world.subscribe(trial_period_days=7)
    world.advance(to=started.trial_end + 3_700)
    paid = world.see(started.id)
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
    assert paid.latest_invoice.amount_paid == 2_000
    assert paid.billing_cycle_anchor == started.trial_end


def _end_trial_without_card(world: World, behavior: str) -> str:
    settings = {"end_behavior": {"missing_payment_method": behavior}}
    started = world.subscribe(trial_period_days=7, trial_settings=settings)
    world.advance(to=started.trial_end + 3_700)
    return str(started.id)


def test_a_trial_without_a_card_can_end_paused(world: World) -> None:
    paused = world.see(_end_trial_without_card(world, "pause"))
    assert (paused.status, paused.latest_invoice.total) == ("paused", 0)
    world.event("customer.subscription.paused", paused.id)


def test_a_trial_without_a_card_can_end_canceled(world: World) -> None:
    assert world.see(_end_trial_without_card(world, "cancel")).status == "canceled"


def test_a_trial_without_a_card_can_end_with_an_unpaid_invoice(world: World) -> None:
    owing = world.see(_end_trial_without_card(world, "create_invoice"))
    assert (owing.status, owing.latest_invoice.status) == ("past_due", "open")


def test_a_paused_subscription_makes_no_invoices(world: World) -> None:
    paused = world.see(_end_trial_without_card(world, "pause"))
    world.advance(days=40)
    later = world.see(paused.id)
    assert (later.status, later.latest_invoice.id) == ("paused", paused.latest_invoice.id)


def test_only_resuming_ends_a_pause(world: World) -> None:
    paused = _end_trial_without_card(world, "pause")
    world.give_card()
    assert world.see(paused).status == "paused"
    world.api.subscriptions.resume(paused, {"payment_behavior": "resume_on_payment_success"})
    resumed = world.see(paused)
    assert (resumed.status, resumed.latest_invoice.status) == ("active", "paid")
    assert resumed.latest_invoice.amount_paid == 2_000
    world.event("customer.subscription.resumed", paused)


def test_only_what_is_paused_can_be_resumed(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    with pytest.raises(stripe.InvalidRequestError):
        world.api.subscriptions.resume(started.id)


def test_a_trial_can_be_ended_at_once(world: World) -> None:
    world.give_card()
    started = world.subscribe(trial_period_days=14)
    world.api.subscriptions.update(started.id, {"trial_end": "now"})
    paid = world.see(started.id)
    assert (paid.status, paid.latest_invoice.amount_paid) == ("active", 2_000)
