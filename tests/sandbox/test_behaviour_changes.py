"""How subscriptions change, each rule by its row in BEHAVIOUR.md; also at Stripe, with a key."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.places import Place, World

DAY = 86_400


def item_of(subscription: Any) -> Any:
    return subscription["items"].data[0]


def to_half(world: World, subscription: Any) -> int:
    """Go to the middle of the period."""
    item = item_of(subscription)
    half = int(item.current_period_start + item.current_period_end) // 2
    world.advance(to=half)
    return half


def amounts(lines: Any) -> list[int]:
    return sorted(line.amount for line in lines)


def pending(world: World) -> list[int]:
    wanted = {"customer": world.customer, "pending": True}
    return amounts(world.api.invoice_items.list(wanted).data)


def more(subscription: Any, quantity: int, **params: Any) -> dict[str, Any]:
    return {"items": [{"id": item_of(subscription).id, "quantity": quantity}], **params}


def test_a_proration_is_a_credit_and_a_debit_to_the_second(world: World) -> None:
    world.give_card()
    started = world.subscribe(world.price(3_000))
    item = item_of(started)
    since = item.current_period_start + 1_000_001
    to_half(world, started)
    world.api.subscriptions.update(started.id, more(started, 2, proration_date=since))
    length = item.current_period_end - item.current_period_start
    left = item.current_period_end - since
    assert pending(world) == [-round(3_000 * left / length), round(6_000 * left / length)]


def test_a_credit_is_a_share_of_what_was_billed(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    half = to_half(world, started)
    change = world.api.subscriptions.update
    change(started.id, more(started, 5, proration_behavior="none"))
    assert pending(world) == []
    change(started.id, more(started, 1, proration_date=half))
    assert pending(world) == [-1_000, 1_000]


def test_a_proration_bears_its_discount_inside(world: World) -> None:
    world.give_card()
    coupon = world.api.coupons.create({"percent_off": 50, "duration": "forever"})
    started = world.subscribe(discounts=[{"coupon": coupon.id}])
    half = to_half(world, started)
    world.api.subscriptions.update(started.id, more(started, 3, proration_date=half))
    assert pending(world) == [-500, 1_500]
    listed = world.api.invoice_items.list({"customer": world.customer}).data
    assert not any(item.discountable for item in listed)


def test_another_interval_bills_at_once_and_moves_the_anchor(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    half = to_half(world, started)
    yearly = [{"id": item_of(started).id, "price": world.price(20_000, interval="year")}]
    world.api.subscriptions.update(started.id, {"items": yearly, "proration_date": half})
    changed = world.see(started.id)
    assert changed.billing_cycle_anchor == item_of(changed).current_period_start >= half
    assert amounts(changed.latest_invoice.lines.data) == [-1_000, 20_000]


def test_a_preview_is_what_the_change_then_costs(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    half = to_half(world, started)
    change = more(started, 7, proration_date=half, proration_behavior="always_invoice")
    details = {"subscription": started.id, "subscription_details": change}
    seen = world.api.invoices.create_preview(details)
    assert item_of(world.see(started.id)).quantity == 1
    world.api.subscriptions.update(started.id, change)
    billed = world.see(started.id).latest_invoice
    assert billed.amount_paid == seen.amount_due == 6_000
    assert amounts(billed.lines.data) == amounts(seen.lines.data)


def test_a_pending_update_expires_after_23_hours(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.give_card("pm_card_chargeCustomerFail")
    change = more(started, 9, proration_behavior="always_invoice")
    world.api.subscriptions.update(
        started.id, {**change, "payment_behavior": "pending_if_incomplete"}
    )
    held = world.see(started.id)
    assert held.pending_update.expires_at - world.now == 23 * 3_600
    world.advance(seconds=23 * 3_600 + 60)
    after = world.see(started.id)
    assert (after.pending_update, item_of(after).quantity) == (None, 1)
    assert world.api.invoices.retrieve(held.latest_invoice.id).status == "void"


def test_a_pending_update_brings_its_metadata(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    change = more(started, 9, proration_behavior="always_invoice", metadata={"cause": "seats"})
    world.give_card("pm_card_chargeCustomerFail")
    world.api.subscriptions.update(
        started.id, {**change, "payment_behavior": "pending_if_incomplete"}
    )
    held = world.see(started.id)
    assert held.pending_update.metadata["cause"] == "seats"
    assert "cause" not in held.metadata
    world.api.invoices.pay(held.latest_invoice.id, {"payment_method": world.give_card()})
    assert world.see(started.id).metadata["cause"] == "seats"


def test_a_change_that_waits_for_its_payment_is_past_due(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    change = more(started, 9, proration_behavior="always_invoice")
    world.api.subscriptions.update(started.id, {**change, "payment_behavior": "default_incomplete"})
    waiting = world.see(started.id)
    assert (waiting.status, waiting.latest_invoice.status) == ("past_due", "open")
    world.api.invoices.pay(waiting.latest_invoice.id)
    assert world.see(started.id).status == "active"


def test_a_change_that_must_not_be_incomplete_is_not_made(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.give_card("pm_card_chargeCustomerFail")
    change = more(started, 9, proration_behavior="always_invoice")
    with pytest.raises(stripe.CardError):
        world.api.subscriptions.update(
            started.id, {**change, "payment_behavior": "error_if_incomplete"}
        )
    after = world.see(started.id)
    assert (after.status, item_of(after).quantity) == ("active", 1)


def test_canceling_can_credit_the_unused_time(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    to_half(world, started)
    world.api.subscriptions.cancel(started.id, {"prorate": True, "invoice_now": True})
    balance = world.api.customers.retrieve(world.customer).balance
    assert balance == pytest.approx(-1_000, abs=1)


def test_an_end_inside_the_period_is_credited(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    item = item_of(started)
    half = (item.current_period_start + item.current_period_end) // 2
    world.api.subscriptions.update(started.id, {"cancel_at": half})
    assert pending(world) == [-1_000]
    world.advance(to=half + 60)
    assert world.see(started.id).status == "canceled"


def test_a_pause_credits_the_unused_time(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    to_half(world, started)
    paused = world.api.subscriptions.pause(started.id, {})
    assert paused.status_details.paused.subscription.type == "pause_requested"
    assert pending(world) == [pytest.approx(-1_000, abs=1)]


def test_resuming_attempts_no_payment_if_nothing_else_is_said(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.api.subscriptions.pause(started.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    world.advance(days=3)
    world.api.subscriptions.resume(started.id, {})
    waiting = world.see(started.id)
    assert (waiting.status, waiting.latest_invoice.status) == ("paused", "open")
    world.api.invoices.pay(waiting.latest_invoice.id)
    assert world.see(started.id).status == "active"


def test_resuming_on_success_pays_first(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.api.subscriptions.pause(started.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    world.advance(days=3)
    success = {"payment_behavior": "resume_on_payment_success"}
    world.api.subscriptions.resume(started.id, success)
    resumed = world.see(started.id)
    assert (resumed.status, resumed.latest_invoice.status) == ("active", "paid")
    assert resumed.billing_cycle_anchor == item_of(resumed).current_period_start == world.now


def test_an_anchor_ahead_makes_the_first_period_short(world: World) -> None:
    world.give_card()
    anchor = world.now + 7 * DAY
    started = world.subscribe(world.price(1_000, interval="week"), billing_cycle_anchor=anchor)
    assert started.latest_invoice.total == 1_000
    short = world.subscribe(
        world.price(1_000, interval="week", interval_count=2), billing_cycle_anchor=anchor
    )
    assert (short.latest_invoice.total, item_of(short).current_period_end) == (500, anchor)


def test_the_31st_is_the_last_day_of_shorter_months(place: Place) -> None:
    year = datetime.now(UTC).year + 1
    world = World(place, int(datetime(year, 4, 10, tzinfo=UTC).timestamp()))
    world.give_card()
    started = world.subscribe(
        billing_cycle_anchor_config={"day_of_month": 31}, proration_behavior="none"
    )
    ends = [item_of(started).current_period_end]
    ends.append(item_of(world.renew(started.id)).current_period_end)
    dates = [datetime.fromtimestamp(end, UTC).strftime("%m-%d") for end in ends]
    world.end()
    assert dates == ["04-30", "05-31"]


def test_a_subscription_whose_invoices_are_sent_is_active_until_they_are_due(
    world: World,
) -> None:
    started = world.subscribe(collection_method="send_invoice", days_until_due=5)
    assert (started.status, started.latest_invoice.status) == ("active", "draft")
    world.advance(seconds=3_700)
    invoice = world.see(started.id).latest_invoice
    finalized_at = invoice.status_transitions.finalized_at
    assert (invoice.status, invoice.due_date) == ("open", finalized_at + 5 * DAY)
    world.advance(to=invoice.due_date + 60)
    assert world.see(started.id).status == "past_due"


def test_extra_charges_wait_if_nothing_else_is_billed(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    price = world.api.prices.create(
        {"currency": "usd", "unit_amount": 250, "product_data": {"name": "Set-up"}}
    )
    extra = {"add_invoice_items": [{"price": price.id}], "proration_behavior": "always_invoice"}
    world.api.subscriptions.update(started.id, extra)
    assert world.see(started.id).latest_invoice.id == started.latest_invoice.id
    assert pending(world) == [250]


def test_a_repeating_coupon_ends_after_its_months(world: World) -> None:
    world.give_card()
    terms = {"percent_off": 10, "duration": "repeating", "duration_in_months": 2}
    coupon = world.api.coupons.create(terms)
    started = world.subscribe(discounts=[{"coupon": coupon.id}])
    totals = [started.latest_invoice.total]
    totals += [world.renew(started.id).latest_invoice.total for _ in range(2)]
    assert totals == [1_800, 1_800, 2_000]
