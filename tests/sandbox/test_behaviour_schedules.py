"""How subscription schedules go on, each rule by its row in BEHAVIOUR.md; also at Stripe."""

from typing import Any

import pytest
import stripe

from tests.sandbox.places import World

HALF_MONTH = 15 * 86_400


def month(price: str, quantity: int = 1, **phase: Any) -> dict[str, Any]:
    """Return a phase of one month."""
    duration = {"interval": "month", "interval_count": 1}
    return {"items": [{"price": price, "quantity": quantity}], "duration": duration, **phase}


def plan(world: World, *phases: dict[str, Any], **params: Any) -> Any:
    """Make a schedule that starts now, and see its subscription too."""
    wanted = {"customer": world.customer, "start_date": "now", "phases": list(phases), **params}
    path = "subscription.latest_invoice"
    return world.api.subscription_schedules.create({**wanted, "expand": [path]})


def see(world: World, schedule: Any) -> Any:
    return world.api.subscription_schedules.retrieve(schedule.id)


def lines(invoice: Any) -> list[int]:
    return sorted(line.amount for line in invoice.lines.data)


def test_a_schedule_starts_active_with_a_draft(world: World) -> None:
    made = plan(world, month(world.price()))
    assert (made.status, made.subscription.status) == ("active", "active")
    assert made.subscription.schedule == made.id
    first = made.subscription.latest_invoice
    assert (first.status, first.billing_reason) == ("draft", "subscription_create")
    [phase] = made.phases
    assert made.current_phase.to_dict() == {
        "start_date": phase.start_date,
        "end_date": phase.end_date,
    }


def test_a_phase_that_begins_with_a_period_is_billed_whole(world: World) -> None:
    world.give_card()
    dear, cheap = world.price(3_000), world.price(1_000)
    made = plan(world, month(dear), month(cheap))
    renewed = world.renew(made.subscription.id)
    assert [item.price.id for item in renewed["items"].data] == [cheap]
    assert (renewed.latest_invoice.status, lines(renewed.latest_invoice)) == ("paid", [1_000])


def test_a_phase_inside_a_period_is_prorated(world: World) -> None:
    world.give_card()
    price = world.price()
    start = world.now
    made = plan(
        world,
        {"items": [{"price": price, "quantity": 1}], "end_date": start + HALF_MONTH},
        month(price, 3),
    )
    world.advance(to=start + HALF_MONTH + 60)
    changed = world.see(made.subscription.id)
    assert changed["items"].data[0].quantity == 3
    waiting = world.api.invoice_items.list({"customer": world.customer, "pending": True}).data
    credit, debit = sorted(item.amount for item in waiting)
    assert credit < 0 < debit
    assert debit == pytest.approx(-3 * credit, abs=3)


def test_a_phase_without_prorations_waits_for_the_renewal(world: World) -> None:
    world.give_card()
    price = world.price()
    start = world.now
    first = {"items": [{"price": price, "quantity": 1}], "end_date": start + HALF_MONTH}
    made = plan(world, first, month(price, 3, proration_behavior="none"))
    world.advance(to=start + HALF_MONTH + 60)
    assert world.see(made.subscription.id)["items"].data[0].quantity == 3
    waiting = world.api.invoice_items.list({"customer": world.customer, "pending": True}).data
    assert waiting == []


def test_after_the_last_phase_the_subscription_goes_on(world: World) -> None:
    world.give_card()
    made = plan(world, month(world.price()), end_behavior="release")
    renewed = world.renew(made.subscription.id)
    assert (renewed.status, renewed.schedule) == ("active", None)
    done = see(world, made)
    assert (done.current_phase, done.completed_at) == (None, made.phases[0].end_date)
    world.event("subscription_schedule.completed", made.id)


def test_a_schedule_can_cancel_at_its_end(world: World) -> None:
    world.give_card()
    made = plan(world, month(world.price()), end_behavior="cancel")
    end = made.phases[0].end_date
    assert made.subscription.cancel_at == end
    world.advance(to=end + 60)
    ended = world.see(made.subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert ended.latest_invoice.id == made.subscription.latest_invoice.id
    assert see(world, made).status == "completed"


def test_a_released_schedule_leaves_its_subscription(world: World) -> None:
    made = plan(world, month(world.price()), end_behavior="cancel")
    released = world.api.subscription_schedules.release(made.id)
    assert (released.status, released.subscription) == ("released", None)
    assert (released.released_at, released.released_subscription) == (
        world.now,
        made.subscription.id,
    )
    left = world.see(made.subscription.id)
    assert (left.status, left.schedule, left.cancel_at) == ("active", None, None)


def test_canceling_a_schedule_cancels_its_subscription(world: World) -> None:
    made = plan(world, month(world.price()))
    canceled = world.api.subscription_schedules.cancel(made.id)
    assert (canceled.status, canceled.canceled_at) == ("canceled", world.now)
    assert world.see(made.subscription.id).status == "canceled"


def test_a_scheduled_end_is_changed_by_the_schedule_only(world: World) -> None:
    made = plan(world, month(world.price()))
    for change in ({"cancel_at_period_end": True}, {"cancel_at": world.now + HALF_MONTH}):
        with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription sched"):
            world.api.subscriptions.update(made.subscription.id, change)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.subscriptions.pause(made.subscription.id, {"type": "subscription"})
    world.api.subscription_schedules.update(made.id, {"end_behavior": "cancel"})
    assert world.see(made.subscription.id).cancel_at == made.phases[0].end_date


def test_a_running_subscription_begins_with_its_period(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    with pytest.raises(stripe.InvalidRequestError):
        world.api.subscription_schedules.create(
            {"from_subscription": started.id, "end_behavior": "cancel"}
        )
    made = world.api.subscription_schedules.create({"from_subscription": started.id})
    item = started["items"].data[0]
    [phase] = made.phases
    assert (made.status, made.subscription, made.end_behavior) == ("active", started.id, "release")
    assert (phase.start_date, phase.end_date) == (
        item.current_period_start,
        item.current_period_end,
    )
    assert [(each.price, each.quantity) for each in phase["items"]] == [(item.price.id, 1)]
    with pytest.raises(stripe.InvalidRequestError, match="already attached to a schedule"):
        world.api.subscription_schedules.create({"from_subscription": started.id})


def test_an_update_names_the_current_phase_as_it_began(world: World) -> None:
    price = world.price()
    made = plan(world, month(price))
    update = world.api.subscription_schedules.update
    for start in (None, made.phases[0].start_date + 60):
        dates = {} if start is None else {"start_date": start}
        with pytest.raises(stripe.InvalidRequestError):
            update(made.id, {"phases": [month(price, **dates)]})
    now = {"start_date": made.phases[0].start_date}
    longer = update(made.id, {"phases": [month(price, **now), month(price, 2)]})
    first, second = longer.phases
    assert (first.end_date, second["items"][0].quantity) == (second.start_date, 2)


def test_a_phase_adds_its_metadata(world: World) -> None:
    world.give_card()
    price = world.price()
    old, new = {"tier": "one", "kept": "yes"}, {"tier": "two"}
    made = plan(world, month(price, metadata=old), month(price, metadata=new))
    assert made.subscription.metadata.to_dict() == old
    renewed = world.renew(made.subscription.id)
    assert renewed.metadata.to_dict() == old | new
