"""How subscriptions end or rest: cancel_at, credits for unused time, pauses, and anchors."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_changes import error_lines, item_of, middle_of, price_of, waiting

DAY = 86_400


@pytest.fixture
def sandbox(own: Sandbox) -> Sandbox:
    own.control("reset")
    return own


def to_middle(sandbox: Sandbox, started: Any) -> int:
    half = middle_of(started)
    sandbox.advance(seconds=half - sandbox.now())
    return half


def test_cancel_can_credit_and_bill_at_once(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started, other, plain = shop.subscribe(), shop.subscribe(), shop.subscribe()
    to_middle(sandbox, started)
    cancel = sandbox.api.subscriptions.cancel
    cancel(plain.id)
    assert waiting(sandbox, shop.customer) == []
    cancel(started.id, {"prorate": True})
    (credit,) = waiting(sandbox, shop.customer)
    assert (credit.proration, credit.amount) == (True, pytest.approx(-1_000, abs=2))
    ended = cancel(other.id, {"prorate": True, "invoice_now": True})
    assert ended.status == "canceled"
    final = sandbox.api.invoices.retrieve(ended.latest_invoice)
    assert (final.status, final.total) == ("paid", pytest.approx(-1_000, abs=2))
    assert sandbox.api.customers.retrieve(shop.customer).balance == final.total


def test_cancel_at_inside_the_period_cuts_it_short(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    half = middle_of(started)
    planned = sandbox.api.subscriptions.update(started.id, {"cancel_at": half})
    assert (planned.cancel_at, item_of(planned).current_period_end) == (half, half)
    (credit,) = waiting(sandbox, shop.customer)
    assert (credit.amount, credit.period.start) == (-1_000, half)
    back = sandbox.api.subscriptions.update(started.id, {"cancel_at": ""})
    end = item_of(started).current_period_end
    assert (back.cancel_at, item_of(back).current_period_end) == (None, end)
    assert [entry.amount for entry in waiting(sandbox, shop.customer)] == [1_000, -1_000]
    sandbox.api.subscriptions.update(
        started.id, {"cancel_at": half, "proration_behavior": "always_invoice"}
    )
    assert sandbox.api.customers.retrieve(shop.customer).balance == -1_000
    sandbox.advance(seconds=half - sandbox.now() + 5)
    assert shop.see(started.id).status == "canceled"


def test_cancel_at_in_a_later_period_bills_a_part_of_it(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    end = item_of(started).current_period_end
    sandbox.api.subscriptions.update(started.id, {"cancel_at": end + 10 * DAY})
    sandbox.advance(seconds=end - sandbox.now() + 3_700)
    last = shop.see(started.id)
    assert item_of(last).current_period_end == end + 10 * DAY
    (line,) = error_lines(sandbox, last.latest_invoice.id)
    assert line.parent.subscription_item_details.proration is True
    assert line.amount in {round(2_000 * 10 / days) for days in (28, 29, 30, 31)}
    sandbox.advance(days=10)
    assert shop.see(started.id).status == "canceled"


def test_an_early_end_is_only_prorated_if_that_is_wanted(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    at = int(sandbox.now()) + 10 * DAY
    cut, whole = (
        shop.subscribe(cancel_at=at, proration_behavior=behavior)
        for behavior in ("create_prorations", "none")
    )
    for started, total in ((cut, pytest.approx(2_000 * 10 / 30, abs=50)), (whole, 2_000)):
        assert item_of(started).current_period_end == at
        assert sandbox.api.invoices.retrieve(started.latest_invoice).total == total
    for started, total in ((cut, pytest.approx(2_000 * 20 / 30, abs=50)), (whole, 0)):
        sandbox.api.subscriptions.update(started.id, {"cancel_at": ""})
        waits = waiting(sandbox, shop.customer)
        own = [i for i in waits if i.parent.subscription_details.subscription == started.id]
        assert sum(i.amount for i in own) == total
    with pytest.raises(stripe.InvalidRequestError):
        shop.subscribe(cancel_at=at, cancel_at_period_end=True)


def test_the_end_of_the_period_moves_with_it(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(cancel_at_period_end=True)
    yearly = price_of(shop, 20_000, interval="year")
    changed = sandbox.api.subscriptions.update(
        started.id, {"items": [{"id": item_of(started).id, "price": yearly}]}
    )
    end = item_of(changed).current_period_end
    assert (changed.cancel_at, changed.cancel_at_period_end) == (end, True)
    sandbox.advance(days=60)
    assert shop.see(started.id).status == "active"
    other = shop.subscribe()
    named = sandbox.api.subscriptions.update(
        other.id,
        {
            "items": [{"id": item_of(other).id, "price": yearly}],
            "cancel_at": "min_period_end",
        },
    )
    assert named.cancel_at == item_of(named).current_period_end > end


def test_what_waits_is_billed_when_the_period_ends(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 3}],
            "proration_date": middle_of(started),
            "cancel_at_period_end": True,
        },
    )
    sandbox.advance(seconds=item_of(started).current_period_end - sandbox.now() + 3_700)
    ended = shop.see(started.id)
    assert (ended.status, ended.latest_invoice.status) == ("canceled", "paid")
    assert [line.amount for line in error_lines(sandbox, ended.latest_invoice.id)] == [
        -1_000,
        3_000,
    ]


def test_a_pause_credits_unused_time(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started, whole, nothing = shop.subscribe(), shop.subscribe(), shop.subscribe()
    to_middle(sandbox, started)
    pause = sandbox.api.subscriptions.pause
    pause(nothing.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    assert waiting(sandbox, shop.customer) == []
    pause(started.id, {})
    (credit,) = waiting(sandbox, shop.customer)
    assert credit.amount == pytest.approx(-1_000, abs=2)
    start = {"unused_time_from": {"type": "item_current_period_start"}}
    paused = pause(whole.id, {"bill_for": start, "invoicing_behavior": "invoice"})
    assert sandbox.api.invoices.retrieve(paused.latest_invoice).total == -2_000
    assert sandbox.api.customers.retrieve(shop.customer).balance == -2_000


def test_resuming_can_keep_the_anchor(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    quiet = {"bill_for": {"unused_time_from": {"type": "none"}}}
    sandbox.api.subscriptions.pause(started.id, quiet)
    end = item_of(started).current_period_end
    sandbox.advance(seconds=end - sandbox.now() + 12 * DAY)
    same = {"billing_cycle_anchor": {"type": "unchanged"}}
    resumed = sandbox.api.subscriptions.resume(
        started.id, {**same, "proration_behavior": "always_invoice", "proration_date": end + DAY}
    )
    assert (resumed.status, resumed.billing_cycle_anchor) == (
        "paused", started.billing_cycle_anchor,
    )  # fmt: skip
    assert item_of(resumed).current_period_start == end
    invoice = sandbox.api.invoices.pay(resumed.latest_invoice)
    length = item_of(resumed).current_period_end - end
    assert invoice.total == round(2_000 * (length - DAY) / length)
    assert shop.see(started.id).status == "active"
    sandbox.api.subscriptions.pause(started.id, quiet)
    waits = sandbox.api.subscriptions.resume(started.id, same)
    assert (waits.status, len(waiting(sandbox, shop.customer))) == ("active", 1)


@pytest.mark.parametrize("behavior", ["keep_as_draft", "mark_uncollectible", "void"])
def test_a_pause_of_the_collection_keeps_the_subscription(
    behavior: str, shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    end = item_of(started).current_period_end
    update = sandbox.api.subscriptions.update
    paused = update(
        started.id, {"pause_collection": {"behavior": behavior, "resumes_at": end + DAY}}
    )
    assert (paused.status, paused.pause_collection.behavior) == ("active", behavior)
    sandbox.advance(seconds=end - sandbox.now() + 3_700)
    invoice = shop.see(started.id).latest_invoice
    wanted = {"keep_as_draft": "draft", "mark_uncollectible": "uncollectible"}
    assert invoice.status == wanted.get(behavior, "void")
    assert shop.see(started.id).status == "active"
    assert len(sandbox.ledger(subscription=started.id)) == 1
    sandbox.advance(days=1)
    assert shop.see(started.id).pause_collection is None
    paused = update(started.id, {"pause_collection": {"behavior": behavior}})
    assert update(started.id, {"pause_collection": ""}).pause_collection is None


def test_the_anchor_can_lie_ahead(sandbox: Sandbox) -> None:
    year = datetime.fromtimestamp(sandbox.now(), UTC).year + 1
    begin = int(datetime(year, 4, 16, tzinfo=UTC).timestamp())
    sandbox.advance(seconds=begin - sandbox.now())
    shop = open_shop(sandbox)
    shop.give_card("ok")
    first_of_may = begin + 15 * DAY
    anchored = shop.subscribe(billing_cycle_anchor=first_of_may)
    (line,) = error_lines(sandbox, anchored.latest_invoice)
    assert (line.amount, line.period.end) == (pytest.approx(1_000, abs=1), first_of_may)
    free = shop.subscribe(billing_cycle_anchor=first_of_may, proration_behavior="none")
    assert sandbox.api.invoices.retrieve(free.latest_invoice).total == 0
    last = shop.subscribe(
        billing_cycle_anchor_config={"day_of_month": 31, "hour": 0, "minute": 0, "second": 0}
    )
    ends = []
    for _ in range(3):
        end = item_of(shop.see(last.id)).current_period_end
        ends.append(datetime.fromtimestamp(end, UTC).strftime("%m-%d %H"))
        sandbox.advance(seconds=end - sandbox.now() + 3_700)
    assert ends == ["04-30 00", "05-31 00", "06-30 00"]
    assert sandbox.ledger(subscription=free.id)[0]["amount"] == 2_000
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(billing_cycle_anchor=int(sandbox.now()) + 90 * DAY)
    assert caught.value.param == "billing_cycle_anchor"


@pytest.mark.parametrize(
    ("currency", "amount", "half"), [("jpy", 1_001, -501), ("kwd", 10_010, -5_010)]
)
def test_currencies_differ_in_their_smallest_step(
    currency: str, amount: int, half: int, shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("ok")
    price = sandbox.api.prices.create(
        {
            "currency": currency,
            "unit_amount": amount,
            "recurring": {"interval": "day", "interval_count": 2},
            "product_data": {"name": "Tea"},
        }
    )
    started = shop.subscribe(items=[{"price": price.id}])
    (line,) = error_lines(sandbox, started.latest_invoice)
    wanted = {"jpy": "1001 JPY", "kwd": "10.010 KWD"}[currency]
    assert line.description == f"1 × Tea (at {wanted} / every 2 days)"  # noqa: RUF001
    sandbox.api.subscriptions.update(started.id, {"cancel_at": middle_of(started)})
    assert [entry.amount for entry in waiting(sandbox, shop.customer)] == [half]


def test_several_items_make_several_lines(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    seats = price_of(shop, 300)
    started = shop.subscribe(items=[{"price": shop.price}, {"price": seats, "quantity": 4}])
    assert [line.amount for line in error_lines(sandbox, started.latest_invoice)] == [2_000, 1_200]
    assert sandbox.ledger(subscription=started.id)[0]["amount"] == 3_200
    with pytest.raises(stripe.InvalidRequestError, match="one interval"):
        shop.subscribe(items=[{"price": shop.price}, {"price": price_of(shop, 1, interval="day")}])
