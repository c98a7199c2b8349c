"""Subscription schedules: what their phases do to bills, and what is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import open_shop
from tests.sandbox.places import World, sandbox_place
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_behaviour_schedules import HALF_MONTH, lines, month, plan, see
from tests.sandbox.test_meters import meter_of, metered_price, report

DAY = 86_400
MARCH_2032 = 1_961_712_000


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[World]:
    """A customer with a card on a test clock, where months have 31 days."""
    world = World(sandbox_place(sandbox), MARCH_2032)
    world.give_card()
    yield world
    world.end()


def items(subscription: Any) -> list[tuple[str, int]]:
    return [(item.price.id, item.quantity) for item in subscription["items"].data]


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call(*arguments)
    return str(caught.value.param)


def test_a_schedule_ahead_starts_when_it_is_due(world: World) -> None:
    start = world.now + 3 * DAY
    made = plan(world, month(world.price()), start_date=start)
    assert (made.status, made.subscription, made.current_phase) == ("not_started", None, None)
    waiting = {"customer": world.customer, "scheduled": True}
    assert [s.id for s in world.api.subscription_schedules.list(waiting).data] == [made.id]
    world.advance(to=start)
    begun = see(world, made)
    assert (begun.status, begun.current_phase.start_date) == ("active", start)
    assert world.see(begun.subscription).start_date == start
    assert world.api.subscription_schedules.list(waiting).data == []
    world.advance(seconds=3_700)
    first = world.see(begun.subscription).latest_invoice
    assert (first.status, first.amount_paid) == ("paid", 2_000)
    assert world.event_count("subscription_schedule.created", made.id) == 1
    assert world.event_count("subscription_schedule.updated", made.id) == 1


def test_one_that_waits_can_be_moved_released_and_canceled(world: World) -> None:
    calls, price = world.api.subscription_schedules, world.price()
    one, other = (plan(world, month(price), start_date=world.now + DAY) for _ in range(2))
    later = world.now + 9 * DAY
    moved = calls.update(one.id, {"phases": [month(price, 2, start_date=later)]})
    assert (moved.status, moved.phases[0].start_date) == ("not_started", later)
    world.advance(days=2)
    assert see(world, one).status == "not_started"
    assert (see(world, other).status, calls.release(one.id).status) == ("active", "released")
    assert see(world, one).released_subscription is None
    for call in (calls.release, calls.cancel):
        refused(call, one.id)
    refused(calls.update, one.id, {"end_behavior": "cancel"})
    assert calls.update(one.id, {"metadata": {"a": "b"}}).metadata.to_dict() == {"a": "b"}
    third = plan(world, month(price), start_date=later)
    assert calls.cancel(third.id).status == "canceled"
    fourth = plan(world, month(price), start_date=later)
    world.api.customers.delete(world.customer)
    assert see(world, fourth).status == "canceled"
    begun = calls.update(
        plan_for_new_customer(world, price, later).id,
        {"phases": [month(price, 1, start_date="now")]},
    )
    assert (begun.status, begun.current_phase.start_date) == ("active", world.now)


def plan_for_new_customer(world: World, price: str, start: int) -> Any:
    world.customer = world.api.customers.create({"test_clock": world.clock}).id
    return plan(world, month(price), start_date=start)


def test_discounts_hold_for_their_phase(world: World) -> None:
    price = world.price()
    half = world.api.coupons.create({"percent_off": 50, "duration": "forever"}).id
    cheaper = [{"coupon": half}]
    made = plan(world, *[month(price, discounts=cheaper)] * 2, month(price))
    [kept] = made.subscription.discounts
    world.advance(seconds=3_700)
    assert world.see(made.subscription.id).latest_invoice.total == 1_000
    renewed = world.renew(made.subscription.id)
    assert (renewed.discounts, renewed.latest_invoice.total) == ([kept], 1_000)
    whole = world.renew(made.subscription.id)
    assert (whole.discounts, whole.latest_invoice.total) == ([], 2_000)


def test_items_come_go_and_stay(world: World) -> None:
    seat, extra, other = (world.price(amount) for amount in (1_000, 500, 700))
    off = world.api.coupons.create({"amount_off": 100, "currency": "usd", "duration": "forever"})
    both = month(seat, items=[{"price": seat, "quantity": 2}, {"price": extra}])
    cut = {"price": other, "discounts": [{"coupon": off.id}]}
    made = plan(world, both, month(seat, items=[{"price": seat, "quantity": 1}, cut]), month(seat))
    before = world.see(made.subscription.id)
    assert items(before) == [(seat, 2), (extra, 1)]
    after = world.renew(made.subscription.id)
    assert items(after) == [(seat, 1), (other, 1)]
    assert after["items"].data[0].id == before["items"].data[0].id
    assert (lines(after.latest_invoice), after.latest_invoice.total) == ([700, 1_000], 1_600)
    assert items(world.renew(made.subscription.id)) == [(seat, 1)]


def test_a_metered_item_of_a_phase_has_no_quantity(world: World, sandbox: Sandbox) -> None:
    meter = meter_of(sandbox)
    price = metered_price(sandbox, meter, "150").id
    phase = month(price, items=[{"price": price}])
    made = plan(world, phase, phase)
    [item] = made.phases[0]["items"]
    assert getattr(item, "quantity", None) is None
    report(sandbox, meter, world.customer, 3, timestamp=world.now)
    assert lines(world.renew(made.subscription.id).latest_invoice) == [450]
    assert refused(plan, world, month(price)) == "phases[0][items][0][quantity]"


def test_a_phase_can_be_a_trial(world: World) -> None:
    price = world.price()
    made = plan(world, month(price, trial=True), month(price, 2))
    assert made.phases[0].trial_end == made.phases[0].end_date == made.subscription.trial_end
    assert (made.subscription.status, made.subscription.latest_invoice.total) == ("trialing", 0)
    paid = world.renew(made.subscription.id)
    assert (paid.status, lines(paid.latest_invoice)) == ("active", [4_000])
    again = plan(world, month(price), month(price, trial_end=world.now + 40 * DAY))
    resting = world.renew(again.subscription.id)
    assert (resting.status, resting.trial_end) == ("trialing", again.phases[1].trial_end)


def test_another_interval_moves_the_anchor(world: World) -> None:
    dear, yearly = world.price(), world.price(20_000, interval="year")
    made = plan(world, month(dear), {"items": [{"price": yearly}]}, end_behavior="release")
    start = made.phases[1].start_date
    assert made.phases[1].end_date == start + 365 * DAY
    ahead = world.api.invoices.create_preview({"subscription": made.subscription.id})
    assert lines(ahead) == [20_000]
    world.advance(to=start + 3_700)
    changed = world.see(made.subscription.id)
    assert (changed.billing_cycle_anchor, items(changed)) == (start, [(yearly, 1)])
    assert lines(changed.latest_invoice) == [20_000]
    assert changed["items"].data[0].current_period_end == start + 365 * DAY


def test_a_phase_can_begin_a_period_and_bill_at_once(world: World) -> None:
    price, start = world.price(), world.now
    setup = world.api.products.create({"name": "Setup"}).id
    one_off = {"currency": "usd", "product": setup, "unit_amount": 900}
    first = {"items": [{"price": price, "quantity": 1}], "end_date": start + HALF_MONTH}
    second = month(
        price,
        2,
        billing_cycle_anchor="phase_start",
        proration_behavior="always_invoice",
        add_invoice_items=[{"price_data": one_off}],
    )
    made = plan(world, first, second)
    world.advance(to=start + HALF_MONTH)
    moved = world.see(made.subscription.id)
    assert moved.billing_cycle_anchor == start + HALF_MONTH
    unused, extra, whole = lines(moved.latest_invoice)
    assert (unused, extra, whole) == (-round(2_000 * 16 / 31), 900, 4_000)
    assert moved.latest_invoice.status == "paid"


def test_an_instalment_plan_bills_so_often_and_no_more(world: World) -> None:
    three = {"interval": "month", "interval_count": 3}
    made = plan(world, month(world.price(), duration=three), end_behavior="cancel")
    for _ in range(2):
        world.renew(made.subscription.id)
    world.advance(to=made.phases[0].end_date + 3_700)
    assert (made.phases[0].end_date, world.see(made.subscription.id).status) == (
        MARCH_2032 + (31 + 30 + 31) * DAY,
        "canceled",
    )
    billed = world.api.invoices.list({"subscription": made.subscription.id}).data
    assert [(invoice.status, invoice.amount_paid) for invoice in billed] == [("paid", 2_000)] * 3


def test_a_phase_of_several_periods_ends_before_the_next_is_billed(world: World) -> None:
    dear, cheap = world.price(3_000), world.price(1_000)
    two = {"interval": "month", "interval_count": 2}
    made = plan(world, month(dear, duration=two), month(cheap), month(dear))
    wanted = {"subscription": made.subscription.id}
    for amount in (3_000, 1_000, 3_000):
        ahead = world.api.invoices.create_preview(wanted)
        billed = world.renew(made.subscription.id).latest_invoice
        assert lines(ahead) == lines(billed) == [amount]
    assert see(world, made).phases[1]["items"][0].price == cheap


def test_settings_are_the_phases_or_the_schedules(world: World) -> None:
    price, card = world.price(), world.give_card("pm_card_mastercard")
    sent: dict[str, Any] = {
        "collection_method": "send_invoice",
        "invoice_settings": {"days_until_due": 9},
    }
    made = plan(
        world,
        month(price, **sent),
        month(price, description="Second"),
        default_settings={"default_payment_method": card, "description": "Any"},
    )
    began = world.see(made.subscription.id)
    assert (began.collection_method, began.days_until_due) == ("send_invoice", 9)
    assert (began.default_payment_method, began.description) == (card, "Any")
    assert made.default_settings.invoice_settings.issuer.type == "self"
    after = world.renew(made.subscription.id)
    assert (after.collection_method, after.days_until_due) == ("charge_automatically", None)
    assert (after.default_payment_method, after.description) == (card, "Second")
    settings = {"default_settings": {"description": "New"}}
    changed = world.api.subscription_schedules.update(made.id, settings)
    assert changed.default_settings.default_payment_method == card


def test_an_update_changes_the_current_phase_at_once(world: World) -> None:
    price = world.price()
    made = plan(world, month(price), month(price, 5))
    world.advance(days=15.5)
    dates = {name: made.current_phase[name] for name in ("start_date", "end_date")}
    now = {"items": [{"price": price, "quantity": 3}], **dates}
    change = {"phases": [now, month(price, 5)], "proration_behavior": "always_invoice"}
    world.api.subscription_schedules.update(made.id, change)
    more = world.see(made.subscription.id)
    assert (items(more), more.latest_invoice.total) == ([(price, 3)], 2_000)
    cut = {**now, "end_date": "now"}
    ended = world.api.subscription_schedules.update(
        made.id, {"phases": [cut, month(price, 5, proration_behavior="none")]}
    )
    assert ended.current_phase.start_date == world.now
    assert items(world.see(made.subscription.id)) == [(price, 5)]
    past = month(price, 9, start_date=dates["start_date"])
    call = world.api.subscription_schedules.update
    assert refused(call, made.id, {"phases": [past]}) == "phases[0][start_date]"
    shorter = {"items": [{"price": price}], "end_date": world.now - 60}
    wrong = {**shorter, "start_date": dates["start_date"]}
    assert refused(call, made.id, {"phases": [wrong, month(price)]}) == "phases"
    kept = call(made.id, {"phases": [month(price, 5, start_date=world.now)]})
    assert [phase["items"][0].quantity for phase in kept.phases] == [3, 5]


def test_the_last_phase_can_be_ended_now(world: World) -> None:
    price = world.price()
    made = plan(world, month(price), end_behavior="cancel")
    world.advance(days=2)
    now = {"start_date": made.phases[0].start_date, "end_date": "now"}
    phases = [{"items": [{"price": price, "quantity": 1}], **now}]
    ended = world.api.subscription_schedules.update(made.id, {"phases": phases})
    assert (ended.status, ended.completed_at) == ("completed", world.now)
    assert world.see(made.subscription.id).status == "canceled"


def test_a_planned_end_is_taken_over_and_can_be_kept(world: World) -> None:
    calls, started = world.api.subscription_schedules, world.subscribe()
    end = world.now + 45 * DAY
    world.api.subscriptions.update(started.id, {"cancel_at": end})
    made = calls.create({"from_subscription": started.id})
    assert (made.end_behavior, made.phases[0].end_date) == ("cancel", end)
    calls.release(made.id, {"preserve_cancel_date": True})
    assert world.see(started.id).cancel_at == end


def test_a_week_ahead_the_end_is_announced(world: World) -> None:
    made = plan(world, month(world.price()))
    end = made.phases[0].end_date
    world.advance(to=end - 7 * DAY - 60)
    assert world.event_count("subscription_schedule.expiring", made.id) == 0
    world.advance(seconds=120)
    assert world.event_count("subscription_schedule.expiring", made.id) == 1


def test_a_subscription_that_is_canceled_takes_its_schedule_along(world: World) -> None:
    made = plan(world, month(world.price()), month(world.price()))
    world.api.subscriptions.cancel(made.subscription.id)
    assert see(world, made).status == "canceled"
    world.advance(to=made.phases[0].end_date + 60)
    assert see(world, made).status == "canceled"
    refused(world.api.subscription_schedules.create, {"from_subscription": made.subscription.id})


def test_a_schedule_can_be_seen_from_its_subscription(world: World) -> None:
    made = plan(world, month(world.price()))
    seen = world.api.subscriptions.retrieve(made.subscription.id, {"expand": ["schedule.customer"]})
    assert (seen.schedule.id, seen.schedule.customer.id) == (made.id, world.customer)


def test_debts_abort_a_schedule(own: Sandbox) -> None:
    own.control("reset")
    own.control("retries", days=[1], then="cancel")
    shop = open_shop(own)
    shop.give_card("insufficient_funds")
    phases = [month(shop.price)] * 3
    made = own.api.subscription_schedules.create({"customer": shop.customer, "phases": phases})
    own.advance(days=3)
    ended = own.api.subscriptions.retrieve(made.subscription)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    events = own.api.events.list({"types": ["subscription_schedule.*"], "limit": 9}).data
    assert events[0].type == "subscription_schedule.aborted"
    assert events[0].data.object.status == "canceled"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"end_date": 2_000_000_000}, "phases[0][duration]"),
        ({"duration": None, "end_date": 1_000}, "phases[0][end_date]"),
        ({"trial": True, "billing_cycle_anchor": "phase_start"}, "phases[0][billing_cycle_anchor]"),
        ({"trial_end": 2_100_000_000}, "phases[0][trial_end]"),
        ({"discounts": [{"coupon": "none"}]}, "phases[0][discounts][0][coupon]"),
        ({"items": [{"quantity": 1}]}, "phases[0][items][0]"),
        ({"currency": "eur"}, "phases[0][items][0][price]"),
        ({"default_payment_method": "pm_none"}, "phases[0][default_payment_method]"),
    ],
)
def test_phases_that_cannot_be_are_refused(
    world: World, changes: dict[str, Any], param: str
) -> None:
    phase = {**month(world.price()), **changes}
    wanted = {name: value for name, value in phase.items() if value is not None}
    assert refused(plan, world, wanted) == param


def test_schedules_that_cannot_be_are_refused(world: World) -> None:
    price, start = world.price(), world.now - DAY
    open_end = {"items": [{"price": price}]}
    create = world.api.subscription_schedules.create
    for wanted, param in (
        ({"phases": [month(price)]}, "customer"),
        ({"customer": world.customer}, "phases"),
        ({"customer": world.customer, "phases": [month(price)] * 11}, "phases"),
        ({"customer": world.customer, "phases": [month(price)], "start_date": start}, "start_date"),
        ({"customer": world.customer, "phases": [open_end] * 2}, "phases[0][end_date]"),
        (
            {"customer": world.customer, "phases": [month(price), month(world.price(9, "eur"))]},
            "phases",
        ),
        ({"from_subscription": "sub_none"}, "from_subscription"),
    ):
        assert refused(create, wanted) == param
    listed = world.api.subscription_schedules.list({"customer": world.customer})
    assert listed.data == []
