"""How invoices, credit and discounts behave, each rule by its row in BEHAVIOUR.md."""

from typing import Any

import pytest
import stripe

from tests.sandbox.places import World


def draft(world: World, amount: int = 1_500, **params: Any) -> Any:
    """Return a draft with one item on it."""
    wanted = {"customer": world.customer, "pending_invoice_items_behavior": "exclude", **params}
    invoice = world.api.invoices.create(wanted)
    item = {"customer": world.customer, "invoice": invoice.id, "amount": amount, "currency": "usd"}
    world.api.invoice_items.create(item)
    return world.api.invoices.retrieve(invoice.id)


def test_finalizing_opens_a_draft_and_numbers_it(world: World) -> None:
    drafted = draft(world)
    assert (drafted.status, drafted.number, drafted.total) == ("draft", None, 1_500)
    opened = world.api.invoices.finalize_invoice(drafted.id)
    assert (opened.status, opened.amount_due) == ("open", 1_500)
    assert opened.number
    world.event("invoice.finalized", drafted.id)


def test_a_finalized_invoice_takes_no_more_items(world: World) -> None:
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    item = {"customer": world.customer, "invoice": opened.id, "amount": 1, "currency": "usd"}
    with pytest.raises(stripe.InvalidRequestError):
        world.api.invoice_items.create(item)


def test_only_drafts_can_be_deleted(world: World) -> None:
    drafted = draft(world)
    assert world.api.invoices.delete(drafted.id).deleted is True
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.invoices.delete(opened.id)


def test_paying_a_draft_finalizes_it_first(world: World) -> None:
    world.give_card()
    paid = world.api.invoices.pay(draft(world).id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 1_500, 0)
    assert paid.number


def test_a_paid_invoice_cannot_be_paid_again(world: World) -> None:
    world.give_card()
    paid = world.api.invoices.pay(draft(world).id)
    with pytest.raises(stripe.InvalidRequestError, match="already paid") as refusal:
        world.api.invoices.pay(paid.id)
    assert refusal.value.http_status == 400


def test_a_void_invoice_cannot_be_paid(world: World) -> None:
    world.give_card()
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    assert world.api.invoices.void_invoice(opened.id).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        world.api.invoices.pay(opened.id)


def test_an_uncollectible_invoice_can_still_be_paid(world: World) -> None:
    world.give_card()
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    assert world.api.invoices.mark_uncollectible(opened.id).status == "uncollectible"
    assert world.api.invoices.pay(opened.id).status == "paid"


def test_a_free_invoice_is_paid_when_it_is_finalized(world: World) -> None:
    assert world.api.invoices.finalize_invoice(draft(world, 0).id).status == "paid"


def test_an_invoice_can_be_paid_out_of_band(world: World) -> None:
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    paid = world.api.invoices.pay(opened.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid) == ("paid", 1_500)
    assert world.api.payment_intents.list({"customer": world.customer}).data[0].status == "canceled"


def test_a_declined_payment_is_402_and_leaves_the_invoice_open(world: World) -> None:
    world.give_card("pm_card_chargeCustomerFail")
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    with pytest.raises(stripe.CardError) as declined:
        world.api.invoices.pay(opened.id)
    assert (declined.value.http_status, declined.value.code) == (402, "card_declined")
    assert world.api.invoices.retrieve(opened.id).status == "open"


def test_a_negative_total_becomes_the_customers_balance(world: World) -> None:
    credited = world.api.invoices.finalize_invoice(draft(world, -700).id)
    assert (credited.status, credited.amount_due) == ("paid", 0)
    assert world.api.customers.retrieve(world.customer).balance == -700
    opened = world.api.invoices.finalize_invoice(draft(world).id)
    assert (opened.total, opened.amount_due) == (1_500, 800)


def test_pending_items_come_onto_the_next_renewal(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    item = {"customer": world.customer, "amount": 250, "currency": "usd"}
    world.api.invoice_items.create(item)
    renewed = world.renew(started.id)
    assert (renewed.latest_invoice.total, renewed.latest_invoice.status) == (2_250, "paid")


def test_a_preview_makes_no_invoice(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    preview = world.api.invoices.create_preview({"subscription": started.id})
    assert (preview.total, preview.status) == (2_000, "draft")
    assert preview.id.startswith("upcoming_in")
    found = world.api.invoices.list({"customer": world.customer}).data
    assert [invoice.id for invoice in found] == [started.latest_invoice.id]


def test_a_coupon_takes_its_share_off(world: World) -> None:
    world.give_card()
    coupon = world.api.coupons.create({"percent_off": 25, "duration": "once"})
    started = world.subscribe(discounts=[{"coupon": coupon.id}])
    assert (started.latest_invoice.subtotal, started.latest_invoice.total) == (2_000, 1_500)
    assert started.latest_invoice.total_discount_amounts[0].amount == 500
    assert world.renew(started.id).latest_invoice.total == 2_000


def test_a_coupon_can_be_redeemed_only_so_often(world: World) -> None:
    world.give_card()
    coupon = world.api.coupons.create({"percent_off": 25, "duration": "once", "max_redemptions": 1})
    world.subscribe(discounts=[{"coupon": coupon.id}])
    spent = world.api.coupons.retrieve(coupon.id)
    assert (spent.times_redeemed, spent.valid) == (1, False)
    with pytest.raises(stripe.InvalidRequestError):
        world.subscribe(discounts=[{"coupon": coupon.id}])
