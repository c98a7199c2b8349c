"""Invoice items, drafts by hand, invoices that are sent, and the customer's balance on them."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_changes import error_lines, item_of, types, waiting

DAY = 86_400


@pytest.fixture
def sandbox(own: Sandbox) -> Sandbox:
    own.control("reset")
    return own


def add(shop: Shop, amount: int = 700, **params: Any) -> Any:
    terms = {"customer": shop.customer, "amount": amount, "currency": "usd"}
    return shop.sandbox.api.invoice_items.create({**terms, **params})


def test_items_wait_for_an_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    item = add(shop, description="Set-up", metadata={"a": "1"})
    one_time = sandbox.api.prices.create(
        {"currency": "usd", "unit_amount": 250, "product_data": {"name": "Mug"}}
    )
    priced = sandbox.api.invoice_items.create(
        {"customer": shop.customer, "pricing": {"price": one_time.id}, "quantity": 3}
    )
    assert (priced.amount, priced.description, str(priced.pricing.unit_amount_decimal)) == (
        750, "Mug", "250",
    )  # fmt: skip
    empty = sandbox.api.invoices.create({"customer": shop.customer})
    assert (empty.lines.data, empty.auto_advance, empty.billing_reason) == ([], False, "manual")
    draft = sandbox.api.invoices.create(
        {
            "customer": shop.customer,
            "pending_invoice_items_behavior": "include",
            "auto_advance": True,
        }
    )
    assert [line.amount for line in draft.lines.data] == [700, 750]
    assert draft.lines.data[0].parent.invoice_item_details.invoice_item == item.id
    assert waiting(sandbox, shop.customer) == []
    listed = sandbox.api.invoice_items.list({"invoice": draft.id, "pending": False}).data
    assert [entry.id for entry in listed] == [priced.id, item.id]
    sandbox.advance(seconds=3_605)
    assert sandbox.api.invoices.retrieve(draft.id).status == "paid"
    assert sandbox.ledger(customer=shop.customer)[-1]["amount"] == 1_450
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.api.invoice_items.delete(item.id)
    assert caught.value.code == "invoice_not_editable"
    assert "invoiceitem.created" in types(sandbox, item.id)


def test_drafts_are_edited_and_thrown_away(shop: Shop, sandbox: Sandbox) -> None:
    waits = add(shop)
    draft = sandbox.api.invoices.create(
        {"customer": shop.customer, "pending_invoice_items_behavior": "include"}
    )
    own = add(shop, 100, invoice=draft.id, quantity=2)
    items = sandbox.api.invoice_items
    items.update(own.id, {"amount": 150})
    assert sandbox.api.invoices.retrieve(draft.id).total == 850
    assert items.delete(own.id).deleted
    lines = [{"amount": 50, "description": "Stamp"}, {"amount": 60}]
    grown = sandbox.api.invoices.add_lines(draft.id, {"lines": lines})
    assert (grown.total, grown.lines.data[1].description) == (810, "Stamp")
    stamp, other = grown.lines.data[1:]
    gone = [{"id": stamp.id, "behavior": "delete"}, {"id": other.id, "behavior": "unassign"}]
    assert sandbox.api.invoices.remove_lines(draft.id, {"lines": gone}).total == 700
    (again,) = waiting(sandbox, shop.customer)
    assert (again.amount, again.invoice) == (60, None)
    named = sandbox.api.invoices.update(draft.id, {"footer": "Bye", "number": "2027-1"})
    assert (named.footer, named.number) == ("Bye", "2027-1")
    assert sandbox.api.invoices.delete(draft.id).deleted
    assert items.retrieve(waits.id).invoice is None
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.invoices.retrieve(draft.id)


def test_an_item_of_a_subscription_waits_for_its_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    one, other = shop.subscribe(), shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.api.invoices.create({"customer": shop.customer, "subscription": one.id})
    assert caught.value.code == "invoice_no_subscription_line_items"
    add(shop, subscription=other.id)
    sandbox.advance(seconds=item_of(one).current_period_end - sandbox.now() + 5)
    totals = [shop.see(started.id).latest_invoice.total for started in (one, other)]
    assert totals == [2_000, 2_700]
    add(shop, 80, subscription=other.id)
    made = sandbox.api.invoices.create({"customer": shop.customer, "subscription": other.id})
    assert (made.total, made.parent.subscription_details.subscription) == (80, other.id)
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.invoices.delete(shop.see(one.id).latest_invoice.id)


def test_extra_charges_come_with_a_subscription(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    mug = sandbox.api.prices.create(
        {"currency": "usd", "unit_amount": 250, "product_data": {"name": "Mug"}}
    )
    extra = {"add_invoice_items": [{"price": mug.id, "quantity": 2}]}
    started = shop.subscribe(**extra)
    assert [line.amount for line in error_lines(sandbox, started.latest_invoice)] == [500, 2_000]
    later = sandbox.api.subscriptions.update(
        started.id, {**extra, "proration_behavior": "always_invoice"}
    )
    assert later.latest_invoice == started.latest_invoice
    assert [item.description for item in waiting(sandbox, shop.customer)] == ["Mug"]
    now = {"items": [{"id": item_of(started).id, "quantity": 2}]}
    billed = sandbox.api.subscriptions.update(
        started.id, {**now, **extra, "proration_behavior": "always_invoice"}
    )
    amounts = [line.amount for line in error_lines(sandbox, billed.latest_invoice)]
    assert (amounts[0], amounts[3]) == (500, 500)


def test_the_balance_is_used_and_given_back(shop: Shop, sandbox: Sandbox) -> None:
    sandbox.api.customers.update(shop.customer, {"balance": -500})
    add(shop, 800)
    include = {"pending_invoice_items_behavior": "include"}
    draft = sandbox.api.invoices.create({"customer": shop.customer, **include})
    assert (draft.total, draft.amount_due, draft.starting_balance) == (800, 300, -500)
    opened = sandbox.api.invoices.finalize_invoice(draft.id)
    assert (opened.ending_balance, opened.amount_due) == (0, 300)
    assert sandbox.api.customers.retrieve(shop.customer).balance == 0
    sandbox.api.invoices.void_invoice(draft.id)
    assert sandbox.api.customers.retrieve(shop.customer).balance == -500
    moves = sandbox.api.customers.balance_transactions.list(shop.customer).data
    assert [(move.type, move.amount) for move in moves[:2]] == [
        ("unapplied_from_invoice", -500), ("applied_to_invoice", 500),
    ]  # fmt: skip


def test_too_little_to_charge_stays_on_the_balance(shop: Shop, sandbox: Sandbox) -> None:
    add(shop, 49)
    include = {"pending_invoice_items_behavior": "include"}
    draft = sandbox.api.invoices.create({"customer": shop.customer, **include})
    settled = sandbox.api.invoices.finalize_invoice(draft.id)
    assert (settled.status, settled.amount_due, settled.ending_balance) == ("paid", 0, 49)
    assert sandbox.ledger(customer=shop.customer) == []
    moves = sandbox.api.customers.balance_transactions.list(shop.customer).data
    assert (moves[0].type, moves[0].amount) == ("invoice_too_small", 49)


def test_a_sent_invoice_is_due_later(shop: Shop, sandbox: Sandbox) -> None:
    sent = {"collection_method": "send_invoice", "days_until_due": 5}
    started = shop.subscribe(**sent)
    assert (started.status, sandbox.api.invoices.retrieve(started.latest_invoice).status) == (
        "active", "draft",
    )  # fmt: skip
    sandbox.advance(seconds=3_605)
    invoice = shop.see(started.id).latest_invoice
    assert (invoice.status, invoice.attempted) == ("open", False)
    assert invoice.due_date - invoice.status_transitions.finalized_at == 5 * DAY
    sandbox.advance(days=5)
    assert shop.see(started.id).status == "past_due"
    assert {"invoice.sent", "invoice.overdue"} <= set(types(sandbox, invoice.id))
    sandbox.api.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert shop.see(started.id).status == "active"
    with pytest.raises(stripe.InvalidRequestError):
        shop.subscribe(collection_method="send_invoice")
    add(shop, 900)
    include = {"pending_invoice_items_behavior": "include"}
    by_hand = sandbox.api.invoices.create({"customer": shop.customer, **include, **sent})
    assert sandbox.api.invoices.send_invoice(by_hand.id).status == "open"


def test_long_lists_of_lines_have_pages(shop: Shop, sandbox: Sandbox) -> None:
    lines = [{"amount": number} for number in range(12)]
    draft = sandbox.api.invoices.create({"customer": shop.customer})
    sandbox.api.invoices.add_lines(draft.id, {"lines": lines})
    first = sandbox.api.invoices.line_items.list(draft.id, {"limit": 7})
    rest = sandbox.api.invoices.line_items.list(draft.id, {"starting_after": first.data[-1].id})
    assert [line.amount for line in (*first.data, *rest.data)] == list(range(12))
    assert (first.has_more, rest.has_more) == (True, False)
    before = {"ending_before": first.data[-1].id, "limit": 3}
    back = sandbox.api.invoices.line_items.list(draft.id, before)
    assert [line.amount for line in back.data] == [3, 4, 5]
    assert [line.amount for line in error_lines(sandbox, draft.id)] == list(range(10))


def test_an_invoice_item_needs_a_price(shop: Shop, sandbox: Sandbox) -> None:
    for bad, param in (({}, "amount"), ({"pricing": {"price": shop.price}}, "pricing[price]")):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            sandbox.api.invoice_items.create({"customer": shop.customer, **bad})
        assert caught.value.param == param
