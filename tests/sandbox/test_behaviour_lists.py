"""What of a list is in the object that it belongs to, each rule by its row in BEHAVIOUR.md."""

from typing import Any

import stripe

from tests.sandbox.places import World


def bill(world: World, line_count: int) -> Any:
    """Return an open invoice with this many lines."""
    wanted = {"customer": world.customer, "currency": "usd", "auto_advance": False}
    invoice = world.api.invoices.create(wanted)
    lines = [{"amount": 100 + number} for number in range(line_count)]
    world.api.invoices.add_lines(invoice.id, {"lines": lines})
    return world.api.invoices.finalize_invoice(invoice.id)


def test_an_invoice_carries_its_first_ten_lines(world: World) -> None:
    whole = bill(world, 10).lines
    assert (len(whole.data), whole.has_more) == (10, False)
    invoice = bill(world, 12)
    lines = invoice.lines
    assert (len(lines.data), lines.has_more) == (10, True)
    assert lines.url == f"/v1/invoices/{invoice.id}/lines"
    assert [line.amount for line in lines.auto_paging_iter()] == [*range(100, 112)]
    listed = world.api.invoices.list({"customer": world.customer}).data[0]
    assert (len(listed.lines.data), listed.lines.has_more) == (10, True)
    assert invoice.total == sum(range(100, 112))


def test_lines_are_paged_by_cursor(world: World) -> None:
    invoice = bill(world, 12)
    api = world.api.invoices.line_items
    first = api.list(invoice.id, {"limit": 5})
    assert ([line.amount for line in first.data], first.has_more) == ([*range(100, 105)], True)
    rest = api.list(invoice.id, {"limit": 100, "starting_after": first.data[-1].id})
    assert ([line.amount for line in rest.data], rest.has_more) == ([*range(105, 112)], False)


def test_an_events_invoice_carries_ten_lines_too(world: World) -> None:
    invoice = bill(world, 12)
    told = world.event("invoice.finalized", invoice.id).data.object
    assert (len(told.lines.data), told.lines.has_more) == (10, True)


def test_a_subscription_carries_its_first_ten_items(world: World) -> None:
    world.give_card()
    prices = [{"price": world.price(100 + number)} for number in range(12)]
    started = world.subscribe(items=prices)
    items = started["items"]
    assert (len(items.data), items.has_more) == (10, True)
    assert items.url == f"/v1/subscription_items?subscription={started.id}"
    everything = world.api.subscription_items.list({"subscription": started.id, "limit": 100})
    assert len(everything.data) == 12
    assert started.latest_invoice.lines.has_more
    assert started.latest_invoice.amount_paid == sum(range(100, 112))


def test_a_preview_carries_ten_lines_and_lists_the_others(world: World) -> None:
    prices = [{"price": world.price(100 + number)} for number in range(12)]
    wanted = {"customer": world.customer, "subscription_details": {"items": prices}}
    preview = world.api.invoices.create_preview(wanted)
    assert (len(preview.lines.data), preview.lines.has_more) == (10, True)
    assert len(list(preview.lines.auto_paging_iter())) == 12


def test_what_is_expanded_carries_ten_entries_as_well(world: World) -> None:
    paid = world.api.payment_intents.create(
        {
            "amount": 2_000,
            "currency": "usd",
            "payment_method": "pm_card_bypassPending",
            "confirm": True,
            "allowed_payment_method_types": ["card"],
        }
    )
    for _ in range(11):
        world.api.refunds.create({"payment_intent": paid.id, "amount": 100})
    charge = world.api.charges.retrieve(paid.latest_charge, {"expand": ["refunds"]})
    assert (len(charge.refunds.data), charge.refunds.has_more) == (10, True)
    assert len(list(charge.refunds.auto_paging_iter())) == 11


def test_a_list_in_an_object_has_an_address(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    invoice = world.api.invoices.retrieve(started.latest_invoice.id, {"expand": ["payments"]})
    customer = world.api.customers.retrieve(world.customer, {"expand": ["subscriptions"]})
    for found in (invoice.lines, invoice.payments, customer.subscriptions, started["items"]):
        assert isinstance(found, stripe.ListObject)
        assert not found.has_more
        assert [row.id for row in found.auto_paging_iter()] == [row.id for row in found.data]
