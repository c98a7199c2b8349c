"""How usage, credit notes, Checkout and the catalogue behave, by their rows in BEHAVIOUR.md."""

import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.places import World

DAY = 86_400
BACK = "https://example.com/done"


def unpaid(world: World) -> Any:
    """Return the open invoice of a subscription that waits for its first payment."""
    return world.subscribe(payment_behavior="default_incomplete").latest_invoice


def meter_of(world: World) -> Any:
    return world.api.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": f"calls_{uuid.uuid4().hex}",
            "default_aggregation": {"formula": "sum"},
        }
    )


def metered_price(world: World, meter: Any) -> str:
    recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    wanted = {"currency": "usd", "unit_amount": 200, "product_data": {"name": "Calls"}}
    return str(world.api.prices.create({**wanted, "recurring": recurring}).id)


def report(world: World, meter: Any, calls: int, **params: Any) -> Any:
    payload = {"stripe_customer_id": world.customer, "value": str(calls)}
    wanted = {"event_name": meter.event_name, "payload": payload, "timestamp": world.now}
    return world.api.billing.meter_events.create({**wanted, **params})


def test_a_metered_price_bills_the_usage_of_the_period_before(world: World) -> None:
    world.give_card()
    meter = meter_of(world)
    started = world.subscribe(items=[{"price": metered_price(world, meter)}])
    assert started.latest_invoice.total == 0
    world.advance(days=1)
    report(world, meter, 3)
    renewed = world.renew(started.id)
    assert (renewed.latest_invoice.total, renewed.latest_invoice.status) == (600, "paid")


def test_a_metered_item_has_no_quantity(world: World) -> None:
    world.give_card()
    price = metered_price(world, meter_of(world))
    with pytest.raises(stripe.InvalidRequestError):
        world.subscribe(items=[{"price": price, "quantity": 2}])
    started = world.subscribe(items=[{"price": price}])
    assert "quantity" not in started["items"].data[0].to_dict()


def test_a_meter_event_is_taken_once(world: World) -> None:
    meter = meter_of(world)
    made = report(world, meter, 1, identifier=uuid.uuid4().hex)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        report(world, meter, 1, identifier=made.identifier)


def test_a_meter_event_is_at_most_35_days_old(world: World) -> None:
    meter = meter_of(world)
    with pytest.raises(stripe.InvalidRequestError):
        report(world, meter, 1, timestamp=world.now - 36 * DAY)
    with pytest.raises(stripe.InvalidRequestError):
        report(world, meter, 1, timestamp=world.now + DAY)


def test_a_meter_event_that_cannot_be_counted_is_taken(world: World) -> None:
    world.give_card()
    meter = meter_of(world)
    started = world.subscribe(items=[{"price": metered_price(world, meter)}])
    for payload in ({"stripe_customer_id": "cus_none", "value": "3"}, {"value": "3"}):
        assert report(world, meter, 3, payload=payload).payload.to_dict() == payload
    report(world, meter, 3, payload={"stripe_customer_id": world.customer, "value": "many"})
    assert world.renew(started.id).latest_invoice.total == 0


def test_a_meter_event_names_an_active_meter(world: World) -> None:
    meter = meter_of(world)
    with pytest.raises(stripe.InvalidRequestError, match="No active meter found for event name"):
        report(world, meter, 1, event_name=uuid.uuid4().hex)


def test_a_credit_note_on_an_open_invoice_lowers_what_is_due(world: World) -> None:
    invoice = unpaid(world)
    note = world.api.credit_notes.create({"invoice": invoice.id, "amount": 500})
    assert (note.type, note.pre_payment_amount) == ("pre_payment", 500)
    seen = world.api.invoices.retrieve(invoice.id)
    assert (seen.total, seen.amount_remaining) == (2_000, 1_500)
    world.event("credit_note.created", note.id)


def test_a_credit_note_over_all_of_it_pays_an_open_invoice(world: World) -> None:
    invoice = unpaid(world)
    world.api.credit_notes.create({"invoice": invoice.id, "amount": 2_000})
    assert world.api.invoices.retrieve(invoice.id).status == "paid"
    started = invoice.parent.subscription_details.subscription
    assert world.see(started).status == "active"


def test_a_credit_note_is_voided_while_the_invoice_is_open(world: World) -> None:
    invoice = unpaid(world)
    note = world.api.credit_notes.create({"invoice": invoice.id, "amount": 500})
    assert world.api.credit_notes.void_credit_note(note.id).status == "void"
    assert world.api.invoices.retrieve(invoice.id).amount_remaining == 2_000


def test_a_credit_note_on_a_paid_invoice_gives_all_of_it_back(world: World) -> None:
    world.give_card()
    invoice, api = world.subscribe().latest_invoice, world.api.credit_notes
    with pytest.raises(stripe.InvalidRequestError):
        api.create({"invoice": invoice.id, "amount": 900, "refund_amount": 500})
    ways = {"refund_amount": 500, "credit_amount": 400}
    note = api.create({"invoice": invoice.id, "amount": 900, **ways})
    assert (note.type, note.post_payment_amount, len(note.refunds)) == ("post_payment", 900, 1)
    assert world.api.customers.retrieve(world.customer).balance == -400


def test_a_checkout_session_is_open_for_a_day_or_until_it_is_expired(world: World) -> None:
    line = {"price": world.price(), "quantity": 1}
    wanted = {"mode": "subscription", "success_url": BACK, "line_items": [line]}
    api = world.api.checkout.sessions
    opened = api.create(wanted)
    assert (opened.status, opened.payment_status) == ("open", "unpaid")
    assert abs(opened.expires_at - opened.created - DAY) <= 5
    assert api.expire(opened.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        api.expire(opened.id)
    world.event("checkout.session.expired", opened.id)


def test_a_checkout_payment_takes_no_recurring_price(world: World) -> None:
    wanted = {"mode": "payment", "success_url": BACK}
    with pytest.raises(stripe.InvalidRequestError, match="recurring price"):
        world.api.checkout.sessions.create(
            {**wanted, "line_items": [{"price": world.price(), "quantity": 1}]}
        )


def test_an_active_promotion_code_is_unique_whatever_its_case(world: World) -> None:
    coupon = world.api.coupons.create({"percent_off": 10})
    wanted = {"promotion": {"type": "coupon", "coupon": coupon.id}}
    code = f"Code{uuid.uuid4().hex}"
    made = world.api.promotion_codes.create({**wanted, "code": code})
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        world.api.promotion_codes.create({**wanted, "code": code.upper()})
    world.api.promotion_codes.update(made.id, {"active": False})
    world.api.promotion_codes.create({**wanted, "code": code.upper()})


def test_deleting_a_coupon_keeps_the_discounts_it_gave(world: World) -> None:
    world.give_card()
    coupon = world.api.coupons.create({"percent_off": 50, "duration": "forever"})
    started = world.subscribe(discounts=[{"coupon": coupon.id}])
    assert world.api.coupons.delete(coupon.id).deleted is True
    assert started.latest_invoice.total == 1_000
    assert world.renew(started.id).latest_invoice.total == 1_000


def test_a_lookup_key_moves_to_another_price_if_asked(world: World) -> None:
    key = uuid.uuid4().hex
    wanted = {"currency": "usd", "unit_amount": 1, "product_data": {"name": "Behaviour"}}
    first = world.api.prices.create({**wanted, "lookup_key": key})
    with pytest.raises(stripe.InvalidRequestError, match="lookup key"):
        world.api.prices.create({**wanted, "lookup_key": key})
    world.api.prices.create({**wanted, "lookup_key": key, "transfer_lookup_key": True})
    assert world.api.prices.retrieve(first.id).lookup_key is None


def test_a_product_with_prices_cannot_be_deleted(world: World) -> None:
    product = world.api.prices.retrieve(world.price()).product
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        world.api.products.delete(product)
    bare = world.api.products.create({"name": "Behaviour"})
    assert world.api.products.delete(bare.id).deleted is True


def test_a_webhook_endpoint_shows_its_secret_once(world: World) -> None:
    api = world.api.webhook_endpoints
    made = api.create({"url": "https://example.com/hooks", "enabled_events": ["customer.created"]})
    try:
        assert made.secret.startswith("whsec_")
        assert "secret" not in api.retrieve(made.id).to_dict()
        assert api.update(made.id, {"disabled": True}).status == "disabled"
    finally:
        api.delete(made.id)


def test_lists_of_customers_leave_test_clocks_out(world: World) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    world.api.customers.update(world.customer, {"email": email})
    listing = world.api.customers.list
    assert listing({"email": email}).data == []
    found = listing({"test_clock": world.clock}).data
    assert [customer.id for customer in found] == [world.customer]


def test_a_test_clock_takes_three_customers(world: World) -> None:
    for _ in range(2):
        world.api.customers.create({"test_clock": world.clock})
    with pytest.raises(stripe.InvalidRequestError):
        world.api.customers.create({"test_clock": world.clock})
