"""Changes of a running subscription: items, proration, anchor, trial, and who pays first."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox

DAY = 86_400


@pytest.fixture
def sandbox(own: Sandbox) -> Sandbox:
    own.control("reset")
    return own


def price_of(shop: Shop, amount: int, **recurring: Any) -> str:
    product = shop.sandbox.api.products.create({"name": "Team"})
    price = shop.sandbox.api.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": "month", **recurring},
        }
    )
    return str(price.id)


def types(sandbox: Sandbox, object_id: str) -> list[str]:
    """Return the types of an object's events, oldest first."""
    events = sandbox.api.events.list({"limit": 100}).data
    return [e.type for e in reversed(events) if getattr(e.data.object, "id", None) == object_id]


def item_of(subscription: Any) -> Any:
    return subscription["items"].data[0]


def middle_of(subscription: Any) -> int:
    item = item_of(subscription)
    return int(item.current_period_start + item.current_period_end) // 2


def error_lines(sandbox: Sandbox, invoice_id: str) -> list[Any]:
    return list(sandbox.api.invoices.line_items.list(invoice_id).data)


def waiting(sandbox: Sandbox, customer: str) -> list[Any]:
    pending = {"customer": customer, "pending": True}
    return list(sandbox.api.invoice_items.list(pending).data)


def to_price(subscription: Any, price: str, **item: Any) -> list[dict[str, Any]]:
    return [{"id": item_of(subscription).id, "price": price, **item}]


def test_prorations_wait_for_the_next_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    first = error_lines(sandbox, started.latest_invoice)[0]
    half, team = middle_of(started), price_of(shop, 5_000)
    changed = sandbox.api.subscriptions.update(
        started.id, {"items": to_price(started, team), "proration_date": half}
    )
    assert (changed.latest_invoice, item_of(changed).price.id) == (started.latest_invoice, team)
    debit, credit = waiting(sandbox, shop.customer)
    assert (credit.amount, debit.amount) == (-1_000, 2_500)
    assert (credit.proration, credit.discountable, credit.net_amount) == (True, False, -1_000)
    end = item_of(started).current_period_end
    assert (credit.period.start, credit.period.end) == (half, end)
    assert credit.proration_details.credited_items.invoice_line_item_details.invoice_line_items == [
        first.id
    ]
    assert credit.description.startswith("Unused time on Pro after ")
    assert debit.description.startswith("Remaining time on Team after ")
    assert debit.parent.subscription_details.subscription_item == item_of(started).id

    sandbox.advance(seconds=end - sandbox.now() + 3_700)
    renewed = shop.see(started.id).latest_invoice
    lines = error_lines(sandbox, renewed.id)
    assert [line.amount for line in lines] == [-1_000, 2_500, 5_000]
    details = lines[0].parent.subscription_item_details
    assert (details.proration, details.invoice_item) == (True, credit.id)
    assert details.proration_details.credited_items.invoice_line_items == [first.id]
    assert (renewed.total, renewed.status) == (6_500, "paid")
    assert waiting(sandbox, shop.customer) == []
    (upcoming,) = sandbox.api.events.list({"type": "invoice.upcoming"}).data
    assert upcoming.created == end - 7 * DAY
    assert upcoming.data.object.total == 6_500


def test_always_invoice_charges_at_once(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    changed = sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 3}],
            "proration_behavior": "always_invoice",
            "proration_date": middle_of(started),
        },
    )
    invoice = sandbox.api.invoices.retrieve(changed.latest_invoice)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert [line.amount for line in error_lines(sandbox, invoice.id)] == [-1_000, 3_000]
    assert [row["amount"] for row in sandbox.ledger(subscription=started.id)] == [2_000, 2_000]


def test_a_credit_is_a_share_of_what_was_billed(shop: Shop, sandbox: Sandbox) -> None:
    """Flexible billing: a raise that cost nothing brings no credit either."""
    shop.give_card("ok")
    started = shop.subscribe()
    half = middle_of(started)
    update = sandbox.api.subscriptions.update
    free = {"items": [{"id": item_of(started).id, "quantity": 9}], "proration_behavior": "none"}
    update(started.id, free)
    assert waiting(sandbox, shop.customer) == []
    lower = [{"id": item_of(started).id, "quantity": 1}]
    update(started.id, {"items": lower, "proration_date": half})
    assert sorted(i.amount for i in waiting(sandbox, shop.customer)) == [-1_000, 1_000]


def test_a_credit_of_more_than_is_owed_becomes_balance(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(items=[{"price": shop.price, "quantity": 10}])
    start = item_of(started).current_period_start
    changed = sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 1}],
            "proration_behavior": "always_invoice",
            "proration_date": start,
        },
    )
    invoice = sandbox.api.invoices.retrieve(changed.latest_invoice)
    assert (invoice.total, invoice.amount_due, invoice.status) == (-18_000, 0, "paid")
    assert (invoice.starting_balance, invoice.ending_balance) == (0, -18_000)
    assert sandbox.api.customers.retrieve(shop.customer).balance == -18_000
    sandbox.advance(seconds=item_of(started).current_period_end - sandbox.now() + 3_700)
    renewed = shop.see(started.id).latest_invoice
    assert (renewed.total, renewed.amount_due, renewed.status) == (2_000, 0, "paid")
    assert sandbox.api.customers.retrieve(shop.customer).balance == -16_000
    assert len(sandbox.ledger(customer=shop.customer)) == 1


def test_another_interval_moves_the_anchor_and_bills_at_once(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    half = middle_of(started)
    sandbox.advance(seconds=half - sandbox.now())
    yearly = price_of(shop, 20_000, interval="year")
    items = to_price(started, yearly)
    changed = sandbox.api.subscriptions.update(started.id, {"items": items, "proration_date": half})
    item = item_of(changed)
    assert changed.billing_cycle_anchor == item.current_period_start > half - 5
    assert item.current_period_end - item.current_period_start in {365 * DAY, 366 * DAY}
    assert [line.amount for line in error_lines(sandbox, changed.latest_invoice)] == [
        -1_000,
        20_000,
    ]
    assert sandbox.ledger(subscription=started.id)[-1]["amount"] == 19_000


def test_the_anchor_can_be_reset(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    half = middle_of(started)
    sandbox.advance(seconds=half - sandbox.now())
    changed = sandbox.api.subscriptions.update(
        started.id, {"billing_cycle_anchor": {"type": "now"}, "proration_date": half}
    )
    assert [line.amount for line in error_lines(sandbox, changed.latest_invoice)] == [-1_000, 2_000]
    same = sandbox.api.subscriptions.update(
        started.id, {"billing_cycle_anchor": {"type": "unchanged"}}
    )
    assert same.billing_cycle_anchor == changed.billing_cycle_anchor


def test_items_are_added_changed_and_deleted_by_themselves(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    items, half = sandbox.api.subscription_items, middle_of(started)
    on_half = {"proration_date": half}
    seats = items.create(
        {"subscription": started.id, "price": price_of(shop, 400), "quantity": 5, **on_half}
    )
    assert items.retrieve(seats.id).quantity == 5
    assert [i.amount for i in waiting(sandbox, shop.customer)] == [1_000]
    assert items.update(seats.id, {"quantity": 2, **on_half}).quantity == 2
    listed = items.list({"subscription": started.id, "limit": 1})
    assert (listed.has_more, listed.data[0].id) == (True, item_of(started).id)
    assert items.delete(seats.id, on_half).deleted
    amounts = [i.amount for i in waiting(sandbox, shop.customer)]
    assert amounts[::-1] == [1_000, -1_000, 400, -400]
    with pytest.raises(stripe.InvalidRequestError):
        items.retrieve(seats.id)
    with pytest.raises(stripe.InvalidRequestError):
        items.delete(item_of(started).id)


def test_proration_date_must_lie_in_the_period(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    for moment in (
        item_of(started).current_period_start - 1,
        item_of(started).current_period_end + 1,
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            sandbox.api.subscriptions.update(
                started.id,
                {
                    "items": [{"id": item_of(started).id, "quantity": 2}],
                    "proration_date": moment,
                },
            )
        assert caught.value.param == "proration_date"


UPGRADE = {"proration_behavior": "always_invoice"}


def upgrade(shop: Shop, started: Any, behavior: str) -> Any:
    return shop.sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 5}],
            "payment_behavior": behavior,
            "proration_behavior": "always_invoice",
        },
    )


def test_a_change_stays_though_its_charge_fails(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card", "ok")
    started = shop.subscribe()
    changed = upgrade(shop, started, "allow_incomplete")
    assert (changed.status, item_of(changed).quantity) == ("past_due", 5)
    sandbox.api.invoices.pay(changed.latest_invoice)
    assert shop.see(started.id).status == "active"
    waits = sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 6}],
            "payment_behavior": "default_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    assert (waits.status, len(sandbox.ledger(customer=shop.customer))) == ("past_due", 3)
    sandbox.api.invoices.pay(waits.latest_invoice)
    assert shop.see(started.id).status == "active"


def test_error_if_incomplete_changes_nothing(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card")
    started = shop.subscribe()
    with pytest.raises(stripe.CardError) as caught:
        upgrade(shop, started, "error_if_incomplete")
    assert caught.value.http_status == 402
    after = shop.see(started.id)
    assert (after.status, item_of(after).quantity) == ("active", 1)
    assert after.latest_invoice.id == started.latest_invoice
    assert len(sandbox.api.invoices.list({"customer": shop.customer}).data) == 1
    assert waiting(sandbox, shop.customer) == []
    assert len(sandbox.ledger(customer=shop.customer)) == 2


def test_a_pending_update_is_applied_once_paid(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card", "ok")
    started = shop.subscribe()
    held = upgrade(shop, started, "pending_if_incomplete")
    assert (held.status, item_of(held).quantity) == ("active", 1)
    assert held.pending_update.subscription_items[0].quantity == 5
    assert held.pending_update.expires_at - sandbox.now() == pytest.approx(23 * 3_600, abs=600)
    sandbox.api.invoices.pay(held.latest_invoice)
    after = shop.see(started.id)
    assert (after.pending_update, item_of(after).quantity, after.status) == (None, 5, "active")
    assert "customer.subscription.pending_update_applied" in types(sandbox, started.id)
    at_once = shop.subscribe()
    shop.give_card("ok")
    assert item_of(upgrade(shop, at_once, "pending_if_incomplete")).quantity == 5
    with pytest.raises(stripe.InvalidRequestError, match="supported params"):
        sandbox.api.subscriptions.update(
            started.id, {"description": "x", "payment_behavior": "pending_if_incomplete"}
        )


def test_a_pending_update_expires(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card")
    started = shop.subscribe()
    held = upgrade(shop, started, "pending_if_incomplete")
    sandbox.advance(seconds=23 * 3_600 + 5)
    after = shop.see(started.id)
    assert (after.pending_update, item_of(after).quantity, after.status) == (None, 1, "active")
    assert sandbox.api.invoices.retrieve(held.latest_invoice).status == "void"
    assert "customer.subscription.pending_update_expired" in types(sandbox, started.id)
    again = upgrade(shop, started, "pending_if_incomplete")
    replaced = upgrade(shop, started, "pending_if_incomplete")
    assert replaced.latest_invoice != again.latest_invoice
    assert sandbox.api.invoices.retrieve(again.latest_invoice).status == "void"


@pytest.mark.parametrize("behavior", ["pending_if_incomplete", "error_if_incomplete"])
def test_a_change_that_is_paid_first_bills_all_that_waits(
    shop: Shop, sandbox: Sandbox, behavior: str
) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    sandbox.api.invoice_items.create(
        {"customer": shop.customer, "amount": -250, "currency": "usd", "description": "Sorry"}
    )
    change = {
        "items": [{"id": item_of(started).id, "quantity": 5}],
        "proration_behavior": "always_invoice",
        "proration_date": middle_of(started),
    }
    seen = sandbox.api.invoices.create_preview(
        {"subscription": started.id, "subscription_details": change}
    )
    changed = sandbox.api.subscriptions.update(started.id, {**change, "payment_behavior": behavior})
    billed = sandbox.api.invoices.retrieve(changed.latest_invoice)
    assert [line.amount for line in billed.lines.data] == [line.amount for line in seen.lines.data]
    assert billed.amount_paid == seen.amount_due == 4_000 - 250
    assert waiting(sandbox, shop.customer) == []


def test_error_if_incomplete_leaves_what_waited(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card")
    started = shop.subscribe()
    item = sandbox.api.invoice_items.create(
        {"customer": shop.customer, "amount": 250, "currency": "usd"}
    )
    with pytest.raises(stripe.CardError):
        upgrade(shop, started, "error_if_incomplete")
    (still,) = waiting(sandbox, shop.customer)
    assert (still.id, still.invoice) == (item.id, None)


def test_a_pending_update_brings_its_metadata_once_paid(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card", "ok")
    started = shop.subscribe(metadata={"kept": "yes", "changed": "old"})
    held = sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 5}],
            "metadata": {"changed": "new", "added": "too"},
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    assert held.metadata.to_dict() == {"kept": "yes", "changed": "old"}
    assert held.pending_update.metadata.to_dict() == {"changed": "new", "added": "too"}
    sandbox.api.subscriptions.update(started.id, {"metadata": {"meanwhile": "1"}})
    sandbox.api.invoices.pay(held.latest_invoice)
    wanted = {"kept": "yes", "changed": "new", "added": "too", "meanwhile": "1"}
    assert shop.see(started.id).metadata.to_dict() == wanted


def test_a_trial_can_be_added_moved_and_ended(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    until = int(sandbox.now()) + 10 * DAY
    update = sandbox.api.subscriptions.update
    trialing = update(started.id, {"trial_end": until, "proration_date": middle_of(started)})
    assert (trialing.status, trialing.billing_cycle_anchor) == ("trialing", until)
    assert item_of(trialing).current_period_end == until
    assert [line.amount for line in error_lines(sandbox, trialing.latest_invoice)] == [-1_000, 0]
    assert sandbox.api.customers.retrieve(shop.customer).balance == -1_000
    later = update(started.id, {"trial_end": until + DAY})
    assert (later.trial_end, later.latest_invoice) == (until + DAY, trialing.latest_invoice)
    ended = update(started.id, {"trial_end": "now"})
    assert (ended.status, ended.trial_end) == ("active", ended.billing_cycle_anchor)
    assert [line.amount for line in error_lines(sandbox, ended.latest_invoice)] == [2_000]
    assert sandbox.ledger(subscription=started.id)[-1]["amount"] == 1_000


def test_a_moved_trial_is_announced_anew(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(trial_period_days=10)
    update, notice = sandbox.api.subscriptions.update, "customer.subscription.trial_will_end"
    longer = update(started.id, {"trial_end": started.trial_end + 10 * DAY})
    sandbox.advance(days=8)
    assert types(sandbox, started.id).count(notice) == 0
    update(started.id, {"items": [{"id": item_of(started).id, "quantity": 9}]})
    assert waiting(sandbox, shop.customer) == []
    sandbox.advance(seconds=longer.trial_end - 3 * DAY - sandbox.now() + 5)
    assert types(sandbox, started.id).count(notice) == 1
    update(started.id, {"trial_end": int(sandbox.now()) + DAY})
    assert types(sandbox, started.id).count(notice) == 2
    sandbox.advance(days=1, seconds=3_700)
    assert types(sandbox, started.id).count(notice) == 2
    assert sandbox.ledger(subscription=started.id)[0]["amount"] == 18_000


def test_a_pending_update_can_wait_for_a_challenge(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "authentication_required", "ok")
    started = shop.subscribe()
    held = upgrade(shop, started, "pending_if_incomplete")
    assert held.pending_update.subscription_items[0].quantity == 5
    invoice = shop.see(started.id).latest_invoice
    intent = invoice.payments.data[0].payment.payment_intent
    assert intent.status == "requires_action"
    assert sandbox.api.payment_intents.confirm(intent.id).status == "succeeded"
    assert item_of(shop.see(started.id)).quantity == 5


def test_a_change_can_be_dated_before_the_last_one(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    item = item_of(started)
    quarter = (item.current_period_end - item.current_period_start) // 4
    for quantity, part in ((2, 2), (3, 1)):
        sandbox.api.subscriptions.update(
            started.id,
            {
                "items": [{"id": item.id, "quantity": quantity}],
                "proration_date": item.current_period_start + part * quarter,
            },
        )
    amounts = [entry.amount for entry in waiting(sandbox, shop.customer)][::-1]
    assert amounts == [-1_000, 2_000, -500, -2_000, 4_500]


def test_an_incomplete_subscription_takes_no_other_items(shop: Shop) -> None:
    shop.give_card("lost_card")
    started = shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="incomplete"):
        upgrade(shop, started, "allow_incomplete")
