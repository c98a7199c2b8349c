"""Meters: events add up to usage, and renewals bill it afterwards."""

import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox, wait_for
from tests.sandbox.test_clocks import FEBRUARY_28, JANUARY_31, advance, clock_of, on_clock

HOUR, DAY = 3_600, 86_400


def meter_of(sandbox: Sandbox, formula: str = "sum") -> Any:
    return sandbox.api.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": f"calls_{uuid.uuid4().hex}",
            "default_aggregation": {"formula": formula},
            "customer_mapping": {"type": "by_id", "event_payload_key": "who"},
            "value_settings": {"event_payload_key": "calls"},
        }
    )


def report(sandbox: Sandbox, meter: Any, customer: str, calls: Any, **more: Any) -> Any:
    payload = {"who": customer, "calls": str(calls)}
    return sandbox.api.billing.meter_events.create(
        {"event_name": meter.event_name, "payload": payload, **more}
    )


def metered_price(sandbox: Sandbox, meter: Any, unit: str = "1.5") -> Any:
    recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    return sandbox.api.prices.create(
        {
            "currency": "usd",
            "unit_amount_decimal": unit,
            "recurring": recurring,
            "product_data": {"name": "Calls"},
        }
    )


def test_meters_are_switched_off_and_on(shop: Shop, sandbox: Sandbox) -> None:
    api, meter = sandbox.api.billing.meters, meter_of(sandbox)
    assert (meter.status, meter.customer_mapping.event_payload_key) == ("active", "who")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        api.create(
            {
                "display_name": "Again",
                "event_name": meter.event_name,
                "default_aggregation": {"formula": "sum"},
            }
        )
    assert api.update(meter.id, {"display_name": "More calls"}).display_name == "More calls"
    off = api.deactivate(meter.id)
    assert (off.status, off.status_transitions.deactivated_at is None) == ("inactive", False)
    with pytest.raises(stripe.InvalidRequestError, match="No active meter"):
        report(sandbox, meter, shop.customer, 1)
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        metered_price(sandbox, meter)
    assert meter.id in {m.id for m in api.list({"status": "inactive", "limit": 100}).data}
    assert api.reactivate(meter.id).status_transitions.deactivated_at is None
    told = sandbox.api.events.list({"types": ["billing.meter.*"], "limit": 4}).data
    assert [event.type.rpartition(".")[2] for event in told] == [
        "reactivated", "deactivated", "updated", "created",
    ]  # fmt: skip


def test_events_are_checked(shop: Shop, sandbox: Sandbox) -> None:
    meter, now = meter_of(sandbox), int(sandbox.now())
    made = report(sandbox, meter, shop.customer, 7, identifier=f"a{meter.id}", timestamp=now - 60)
    assert (made.payload["calls"], made.timestamp) == ("7", now - 60)
    for form, param in (
        ({"identifier": made.identifier}, "identifier"),
        ({"timestamp": now - 35 * DAY - 60}, "timestamp"),
        ({"timestamp": now + 600}, "timestamp"),
        ({"meter": "none"}, "event_name"),
    ):
        other: Any = dict(form)
        if other.pop("meter", None):
            other["event_name"] = "none_such"
        with pytest.raises(stripe.InvalidRequestError) as caught:
            report(sandbox, meter, shop.customer, 1, **other)
        assert caught.value.param == param


def test_what_cannot_be_counted_is_taken_and_told_of(shop: Shop, sandbox: Sandbox) -> None:
    """Docs: /billing/subscriptions/usage-based/recording-usage-api#handle-meter-event-errors"""
    meter = meter_of(sandbox)
    name = meter.event_name
    report(sandbox, meter, shop.customer, 4)
    for payload in (
        {"who": shop.customer, "calls": "many"},
        {"who": shop.customer},
        {"who": "cus_none", "calls": "1"},
        {"calls": "1"},
    ):
        made = sandbox.api.billing.meter_events.create({"event_name": name, "payload": payload})
        assert made.payload.to_dict() == payload
    told = [each for each in sandbox.see("meter-errors")["items"] if each["event_name"] == name]
    assert [each["code"] for each in told] == [
        "meter_event_invalid_value", "meter_event_value_not_found",
        "meter_event_customer_not_found", "meter_event_no_customer_defined",
    ]  # fmt: skip
    now = int(sandbox.now()) // 60 * 60
    span: Any = {"customer": shop.customer, "start_time": now - DAY, "end_time": now + 60}
    (summed,) = sandbox.api.billing.meters.event_summaries.list(meter.id, span).data
    assert summed.aggregated_value == 4


@pytest.mark.parametrize(("formula", "whole"), [("sum", 10.5), ("count", 3), ("last", 5)])
def test_usage_is_summed_up(formula: str, whole: float, shop: Shop, sandbox: Sandbox) -> None:
    meter = meter_of(sandbox, formula)
    start = int(sandbox.now()) // DAY * DAY - 3 * DAY
    for hours, calls in ((0, 2.5), (5, 3), (25, 5), (60, 100)):
        report(sandbox, meter, shop.customer, calls, timestamp=start + hours * HOUR)
    api = sandbox.api.billing.meters.event_summaries
    form: Any = {"customer": shop.customer, "start_time": start, "end_time": start + 2 * DAY}
    (all_of_it,) = api.list(meter.id, form).data
    assert (all_of_it.aggregated_value, all_of_it.meter) == (whole, meter.id)
    days = api.list(meter.id, {**form, "value_grouping_window": "day"}).data
    by_day = {"sum": [5, 5.5], "count": [1, 2], "last": [5, 3]}[formula]
    assert [day.aggregated_value for day in days] == by_day
    assert days[0].start_time == start + DAY
    with pytest.raises(stripe.InvalidRequestError, match="aligned"):
        api.list(meter.id, {**form, "start_time": start + 1})


def test_an_event_can_be_taken_back(shop: Shop, sandbox: Sandbox) -> None:
    meter, now = meter_of(sandbox), int(sandbox.now()) // 60 * 60
    report(sandbox, meter, shop.customer, 4, timestamp=now - 120)
    wrong = report(sandbox, meter, shop.customer, 400, timestamp=now - 60)
    api = sandbox.api.billing.meter_event_adjustments
    form: Any = {
        "event_name": meter.event_name,
        "type": "cancel",
        "cancel": {"identifier": wrong.identifier},
    }
    assert api.create(form).status == "complete"
    with pytest.raises(stripe.InvalidRequestError, match="only once"):
        api.create(form)
    form["cancel"] = {"identifier": "never"}
    with pytest.raises(stripe.InvalidRequestError, match="No such meter event"):
        api.create(form)
    wanted = {"customer": shop.customer, "start_time": now - 600, "end_time": now}
    (summary,) = sandbox.api.billing.meters.event_summaries.list(meter.id, wanted).data
    assert summary.aggregated_value == 4


def test_renewals_bill_the_usage_of_the_period_before(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    shop, meter = on_clock(sandbox, clock), meter_of(sandbox)
    price = metered_price(sandbox, meter)
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "1.5")
    with pytest.raises(stripe.InvalidRequestError, match="no quantity"):
        shop.subscribe(items=[{"price": price.id, "quantity": 2}])
    started = shop.subscribe(items=[{"price": shop.price}, {"price": price.id}])
    item = started["items"].data[1]
    assert (item.price.recurring.meter, "quantity" in item.to_dict()) == (meter.id, False)
    assert shop.see(started.id).latest_invoice.total == 2_000
    advance(sandbox, clock, JANUARY_31 + 10 * DAY)
    for calls in (100, 1):
        report(sandbox, meter, shop.customer, calls)
    upcoming = sandbox.api.invoices.create_preview({"subscription": started.id})
    assert upcoming.total == 2_152
    advance(sandbox, clock, FEBRUARY_28 + HOUR)
    invoice = shop.see(started.id).latest_invoice
    assert (invoice.total, invoice.status) == (2_152, "paid")
    used = invoice.lines.data[1]
    assert (used.quantity, used.amount, used.period.end) == (101, 152, FEBRUARY_28)
    report(sandbox, meter, shop.customer, 10)
    changed = sandbox.api.subscriptions.update(
        started.id, {"items": [{"id": started["items"].data[0].id, "quantity": 2}]}
    )
    assert changed.latest_invoice == invoice.id
    sandbox.api.subscriptions.cancel(started.id, {"invoice_now": True})
    final = shop.see(started.id).latest_invoice
    lines = {line.quantity: line.amount for line in final.lines.data}
    assert lines[10] == 15


def test_a_new_period_bills_the_usage_until_then(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    shop, meter = on_clock(sandbox, clock), meter_of(sandbox)
    started = shop.subscribe(items=[{"price": metered_price(sandbox, meter, "200").id}])
    report(sandbox, meter, shop.customer, 4)
    advance(sandbox, clock, JANUARY_31 + 5 * DAY)
    sandbox.api.subscriptions.update(started.id, {"billing_cycle_anchor": {"type": "now"}})
    seen = shop.see(started.id)
    assert (seen.latest_invoice.total, seen.latest_invoice.status) == (800, "paid")
    advance(sandbox, clock, seen["items"].data[0].current_period_end + HOUR)
    assert shop.see(started.id).latest_invoice.total == 0


def test_late_usage_is_billed_while_the_renewal_is_a_draft(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    shop, meter = on_clock(sandbox, clock), meter_of(sandbox)
    price = metered_price(sandbox, meter, "200").id
    started = shop.subscribe(items=[{"price": price}, {"price": shop.price}])
    advance(sandbox, clock, FEBRUARY_28 + 60)
    assert shop.see(started.id).latest_invoice.total == 2_000
    report(sandbox, meter, shop.customer, 5, timestamp=FEBRUARY_28 - 60)
    wrong = report(sandbox, meter, shop.customer, 80, timestamp=FEBRUARY_28 - 30)
    report(sandbox, meter, shop.customer, 9)
    cancel = {"identifier": wrong.identifier}
    sandbox.api.billing.meter_event_adjustments.create(
        {"event_name": meter.event_name, "type": "cancel", "cancel": cancel}
    )
    draft = shop.see(started.id).latest_invoice
    assert (draft.status, draft.total) == ("draft", 3_000)
    advance(sandbox, clock, FEBRUARY_28 + HOUR)
    report(sandbox, meter, shop.customer, 1, timestamp=FEBRUARY_28 - 60)
    paid = shop.see(started.id).latest_invoice
    assert (paid.status, paid.amount_paid) == ("paid", 3_000)


def test_the_end_of_a_period_bills_the_last_usage(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    shop, meter = on_clock(sandbox, clock), meter_of(sandbox)
    started = shop.subscribe(items=[{"price": metered_price(sandbox, meter, "200").id}])
    assert shop.see(started.id).latest_invoice.total == 0
    report(sandbox, meter, shop.customer, 3)
    sandbox.api.subscriptions.update(started.id, {"cancel_at_period_end": True})
    advance(sandbox, clock, FEBRUARY_28 + HOUR)
    ended = shop.see(started.id)
    assert (ended.status, ended.latest_invoice.total) == ("canceled", 600)


def test_what_cannot_be_counted_is_reported_by_a_thin_event(
    sandbox: Sandbox, hooks: Receiver
) -> None:
    """Docs: /billing/subscriptions/usage-based/recording-usage-api#handle-meter-event-errors"""
    meter = meter_of(sandbox)
    report(sandbox, meter, "cus_none", 4, identifier="lost")

    def find() -> Any:
        thin = [event for event in hooks.events if event["object"] == "v2.core.event"]
        return [event for event in thin if event["related_object"]["id"] == meter.id]

    (told,) = wait_for("a thin event", find)
    assert told["type"] == "v1.billing.meter.error_report_triggered"
    assert "data" not in told
    found: Any = sandbox.client.v2.core.events.retrieve(told["id"])
    (kind,) = found.data.reason.error_types
    assert (kind.code, kind.error_count) == ("meter_event_customer_not_found", 1)
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.events.retrieve(told["id"])
