"""A preview is what the change then bills, to the cent, and leaves no trace."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_changes import error_lines, item_of, middle_of, price_of, to_price, waiting

DAY = 86_400


@pytest.fixture
def sandbox(own: Sandbox) -> Sandbox:
    own.control("reset")
    return own


def shape(invoice: Any) -> Any:
    """What must agree between a preview and the invoice that follows."""
    lines = [
        (line.amount, line.period.to_dict(), line.description, line.quantity)
        for line in invoice.lines.data
    ]
    return invoice.subtotal, invoice.total, invoice.amount_due, lines


def preview(shop: Shop, subscription: Any, **details: Any) -> Any:
    return shop.sandbox.api.invoices.create_preview(
        {
            "customer": shop.customer,
            "subscription": subscription.id,
            "subscription_details": details,
        }
    )


def test_an_immediate_change_bills_what_was_previewed(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    change = {
        "items": to_price(started, price_of(shop, 7_777), quantity=3),
        "proration_date": middle_of(started) + 12_345,
        "proration_behavior": "always_invoice",
    }
    seen = preview(shop, started, **change)
    assert (seen.status, seen.id[:12], seen.number) == ("draft", "upcoming_in_", None)
    assert (seen.billing_reason, seen.starting_balance) == ("subscription_update", 0)
    after = shop.see(started.id)
    assert (after.latest_invoice.id, item_of(after).quantity) == (started.latest_invoice, 1)
    assert waiting(sandbox, shop.customer) == []
    changed = sandbox.api.subscriptions.update(started.id, change)
    billed = sandbox.api.invoices.retrieve(changed.latest_invoice)
    assert shape(billed) == shape(seen)
    assert sandbox.ledger(subscription=started.id)[-1]["amount"] == seen.amount_due


def test_a_waiting_change_shows_on_the_next_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    change = {
        "items": [{"id": item_of(started).id, "quantity": 4}],
        "proration_date": middle_of(started),
    }
    seen = preview(shop, started, **change)
    assert [line.amount for line in seen.lines.data] == [-1_000, 4_000, 8_000]
    sandbox.api.subscriptions.update(started.id, change)
    assert shape(preview(shop, started)) == shape(seen)
    sandbox.advance(seconds=item_of(started).current_period_end - sandbox.now() + 3_700)
    assert shape(shop.see(started.id).latest_invoice) == shape(seen)


def test_restarts_ends_and_pauses_can_be_previewed(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    half = middle_of(started)
    sandbox.advance(seconds=half - sandbox.now())
    reset = preview(shop, started, billing_cycle_anchor={"type": "now"}, proration_date=half)
    assert [line.amount for line in reset.lines.data] == [-1_000, 2_000]
    ended = preview(shop, started, cancel_now=True, proration_date=half)
    assert (ended.total, ended.amount_due) == (-1_000, 0)
    at = half + (item_of(started).current_period_end - half) // 2
    cut = preview(shop, started, cancel_at=at)
    assert [line.amount for line in cut.lines.data] == [-500]
    for nothing in ({"cancel_at_period_end": True}, {"pause": {"type": "subscription"}}):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            preview(shop, started, **nothing)
        assert (caught.value.http_status, caught.value.code) == (404, "invoice_upcoming_none")
    paused = preview(shop, started, pause={"invoicing_behavior": "invoice"})
    assert paused.total == pytest.approx(-1_000, abs=1)
    assert shop.see(started.id).status == "active"
    sandbox.api.subscriptions.pause(
        started.id, {"bill_for": {"unused_time_from": {"type": "none"}}}
    )
    resumed = preview(shop, started, resume_at="now")
    assert [line.amount for line in resumed.lines.data] == [2_000]


def test_a_new_subscription_can_be_previewed(shop: Shop, sandbox: Sandbox) -> None:
    items = [{"price": shop.price, "quantity": 2}]
    seen = sandbox.api.invoices.create_preview(
        {
            "customer": shop.customer,
            "invoice_items": [{"amount": 300, "currency": "usd", "description": "Set-up"}],
            "subscription_details": {"items": items},
        }
    )
    assert [line.amount for line in seen.lines.data] == [300, 4_000]
    assert (seen.billing_reason, seen.customer) == ("subscription_create", shop.customer)
    trial = {"items": items, "trial_end": int(sandbox.now()) + 9 * DAY}
    nobody = sandbox.api.invoices.create_preview({"subscription_details": trial})
    assert (nobody.total, nobody.customer) == (0, None)
    assert sandbox.api.subscriptions.list({"customer": shop.customer}).data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.api.invoices.create_preview({"customer": shop.customer})
    assert caught.value.code == "invoice_upcoming_none"


def test_the_nearest_renewal_is_a_customers_next_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    shop.subscribe()
    sandbox.advance(seconds=10)
    weekly = shop.subscribe(items=[{"price": price_of(shop, 900, interval="week")}])
    seen = sandbox.api.invoices.create_preview({"customer": shop.customer})
    assert seen.parent.subscription_details.subscription == weekly.id
    assert seen.period_end == item_of(weekly).current_period_end
    assert error_lines(sandbox, weekly.latest_invoice)[0].amount == seen.total == 900
