"""Events: what is told, in which shape, and how stubbornly."""

from functools import partial
from typing import Any

import pytest

from tests.conftest import Measure
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox, wait_for


def test_each_step_is_told(shop: Shop, sandbox: Sandbox, hooks: Receiver) -> None:
    shop.give_card("ok", "do_not_honor", "ok")
    started = shop.subscribe()
    sandbox.advance(days=32)
    invoice = shop.see(started.id).latest_invoice.id
    sandbox.api.invoices.pay(invoice)
    sandbox.quiet()
    assert hooks.types(shop.customer).count("customer.created") == 1
    assert sorted(hooks.types(started.id)) == [
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.updated",
        "customer.subscription.updated",
    ]
    assert sorted(hooks.types(invoice)) == [
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.payment_succeeded",
        "invoice.updated",
        "invoice.updated",
    ]
    told = {
        "charge.failed", "charge.succeeded", "invoice_payment.paid", "payment_intent.created",
        "payment_intent.payment_failed", "payment_intent.succeeded", "payment_method.attached",
        "price.created", "product.created",
    }  # fmt: skip
    assert told <= set(hooks.types())
    updates = [
        e["data"]["previous_attributes"]
        for e in hooks.events
        if e["type"] == "customer.subscription.updated" and e["data"]["object"]["id"] == started.id
    ]
    statuses = {update.get("status") for update in updates}
    assert statuses == {None, "active", "past_due"}
    assert [update for update in updates if "latest_invoice" in update]


def a_customer(calm: Sandbox) -> str:
    customer = calm.api.customers.create({"name": "Eve"})
    calm.quiet()
    return str(customer.id)


def test_events_are_listed_by_type_time_and_delivery(calm: Sandbox) -> None:
    customer = a_customer(calm)
    calm.control("faults", webhooks={"off": True})
    since = int(calm.now())
    calm.api.customers.update(customer, {"name": "Adam"})
    listing = calm.api.events.list
    (pending,) = listing({"delivery_success": False, "created": {"gte": since}}).data
    assert (pending.type, pending.pending_webhooks) == ("customer.updated", 1)
    assert listing({"type": "customer.updated", "limit": 1}).data[0].id == pending.id
    kinds = ["customer.updated", "customer.created"]
    assert {event.type for event in listing({"types": kinds, "limit": 50}).data} == set(kinds)
    assert listing({"created": {"gt": since + 10**9}}).data == []  # test clocks run ahead
    assert calm.see("webhooks")["pending_count"] == 1
    calm.control("faults")
    calm.quiet()
    assert calm.api.events.retrieve(pending.id).pending_webhooks == 0
    assert listing({"delivery_success": False}).data == []
    older = listing({"limit": 1, "starting_after": pending.id}).data[0]
    newer = listing({"limit": 1, "ending_before": older.id}).data[0]
    assert newer.id == pending.id


def test_refused_deliveries_are_tried_again(calm: Sandbox, calm_hooks: Receiver) -> None:
    customer = a_customer(calm)
    calm_hooks.refusals, before = 1, len(calm_hooks.arrivals)
    calm.api.customers.update(customer, {"name": "Noah"})
    calm.quiet()
    first, second = calm_hooks.arrivals[before:]
    assert second - first > 0.9
    assert calm_hooks.types(customer)[-1] == "customer.updated"


def test_duplicates_and_shuffling(calm: Sandbox, calm_hooks: Receiver) -> None:
    customer = a_customer(calm)
    before = len(calm_hooks.events)
    calm.control("faults", webhooks={"duplicate": 3, "shuffle": True})
    for number in range(6):
        calm.api.customers.update(customer, {"name": f"Number {number}"})
    calm.quiet()
    names: list[Any] = [event["data"]["object"]["name"] for event in calm_hooks.events[before:]]
    assert sorted(names) == sorted(3 * [f"Number {number}" for number in range(6)])
    assert names != sorted(names)


def has_pending(calm: Sandbox, count: int) -> bool:
    return bool(calm.see("webhooks")["pending_count"] == count)


def test_events_are_held_until_the_clock_has_moved(calm: Sandbox, calm_hooks: Receiver) -> None:
    customer = a_customer(calm)
    before = len(calm_hooks.arrivals)
    day = 86_400
    calm.control("faults", webhooks={"hold_until_advanced_seconds": day})
    calm.api.customers.update(customer, {"name": "Held"})
    calm.control("faults", webhooks={"hold_until_advanced_seconds": [2 * day, 3 * day]})
    calm.api.customers.update(customer, {"name": "Held for longer"})
    calm.control("faults")
    calm.api.customers.update(customer, {"name": "At once"})
    wait_for("the free event", lambda: len(calm_hooks.arrivals) > before)
    for days, arrived, pending in ((0.9, 1, 2), (0.2, 2, 1), (0.8, 2, 1), (1.2, 3, 0)):
        calm.advance(days=days)
        wait_for("what is due", partial(has_pending, calm, pending))
        assert len(calm_hooks.arrivals) == before + arrived
    names = [event["data"]["object"]["name"] for event in calm_hooks.events[-3:]]
    assert names == ["At once", "Held", "Held for longer"]


def test_lost_and_late_deliveries(calm: Sandbox, calm_hooks: Receiver) -> None:
    customer = a_customer(calm)
    before = len(calm_hooks.arrivals)
    calm.control("faults", webhooks={"drop": 1.0})
    calm.api.customers.update(customer, {"name": "Lost"})
    wait_for("an attempt", lambda: calm.see("webhooks")["pending_count"] == 1)
    calm.control("faults", webhooks={"delay_seconds": 0.4})
    calm.api.customers.update(customer, {"name": "Late"})
    assert len(calm_hooks.arrivals) == before
    calm.quiet()
    assert len(calm_hooks.arrivals) == before + 2


@pytest.mark.parametrize("most_seconds", [None, pytest.param(0.25, marks=pytest.mark.soak)])
def test_delivery_is_prompt(
    calm: Sandbox, calm_hooks: Receiver, measure: Measure, most_seconds: float | None
) -> None:
    customer = a_customer(calm)
    rows = calm.see("requests")["items"]
    before = len(calm_hooks.arrivals)
    calm.api.customers.update(customer, {"name": "Quick"})
    wait_for("the event", lambda: len(calm_hooks.arrivals) > before)
    asked = calm.see("requests")["items"][len(rows)]["wall_time"]
    seconds = calm_hooks.arrivals[before] - asked
    measure(f"from a request to its webhook: {seconds * 1_000:.0f} ms")
    assert most_seconds is None or seconds < most_seconds
