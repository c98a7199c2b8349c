"""Test clocks: customers with a time of their own, beside the default clock."""

import threading
import time
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Receiver, Sandbox, wait_for

DAY = 86_400
KEY = {"Authorization": "Bearer sk_test_sandbox"}
JANUARY_31 = 1_769_817_600  # 2026
FEBRUARY_28 = JANUARY_31 + 28 * DAY


def clock_of(sandbox: Sandbox, frozen_time: int = JANUARY_31) -> Any:
    return sandbox.api.test_helpers.test_clocks.create({"frozen_time": frozen_time, "name": "T"})


def on_clock(sandbox: Sandbox, clock: Any) -> Shop:
    shop = open_shop(sandbox)
    shop.customer = sandbox.api.customers.create(
        {
            "test_clock": clock.id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"footer": "Thanks"},
        }
    ).id
    shop.give_card("ok")
    return shop


def advance(sandbox: Sandbox, clock: Any, frozen_time: int) -> None:
    api = sandbox.api.test_helpers.test_clocks
    started = api.advance(clock.id, {"frozen_time": frozen_time})
    assert started.status == "advancing"
    assert started.status_details.advancing.target_frozen_time == frozen_time
    wait_for("the clock", lambda: api.retrieve(clock.id).status == "ready")
    assert api.retrieve(clock.id).frozen_time == frozen_time


def test_objects_live_at_their_clocks_time(sandbox: Sandbox, hooks: Receiver) -> None:
    clock = clock_of(sandbox)
    assert (clock.status, clock.name) == ("ready", "T")
    assert clock.deletes_after - clock.created == 30 * DAY
    shop, begun = on_clock(sandbox, clock), int(sandbox.now())
    started = shop.see(shop.subscribe(expand=["test_clock"]).id)
    first = started.latest_invoice
    assert (started.created, started.test_clock, first.test_clock) == (
        JANUARY_31, clock.id, clock.id,
    )  # fmt: skip
    assert started["items"].data[0].current_period_end == FEBRUARY_28
    intent = first.payments.data[0].payment.payment_intent
    assert begun <= intent.created <= sandbox.now()
    advance(sandbox, clock, FEBRUARY_28 + 1_800)
    renewed = shop.see(started.id)
    assert (renewed.status, renewed.latest_invoice.status) == ("active", "draft")
    assert renewed.latest_invoice.created == FEBRUARY_28
    assert sandbox.now() - begun < DAY, "the default clock stays"
    advance(sandbox, clock, FEBRUARY_28 + 3_600)
    paid = shop.see(started.id).latest_invoice
    assert (paid.status, paid.status_transitions.paid_at) == ("paid", FEBRUARY_28 + 3_600)
    sandbox.quiet()
    told = hooks.types(clock.id)
    assert sorted(told) == [
        f"test_helpers.test_clock.{name}"
        for name in ("advancing", "advancing", "created", "ready", "ready")
    ]


def test_the_default_clock_leaves_test_clocks_alone(own: Sandbox) -> None:
    clock = clock_of(own)
    shop = on_clock(own, clock)
    started = shop.subscribe()
    own.advance(days=25)
    assert shop.see(started.id).latest_invoice.billing_reason == "subscription_create"
    assert own.api.test_helpers.test_clocks.retrieve(clock.id).frozen_time == JANUARY_31
    own.advance(days=6)
    with pytest.raises(stripe.InvalidRequestError):
        own.api.test_helpers.test_clocks.retrieve(clock.id)
    assert own.api.customers.retrieve(shop.customer).deleted is True


def test_how_far_and_where_a_clock_moves(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    api = sandbox.api.test_helpers.test_clocks
    two_years = JANUARY_31 + 730 * DAY
    for target, words in (
        (JANUARY_31, "forward"),
        (JANUARY_31 - 5, "forward"),
        (two_years + 1, "two"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=words) as caught:
            api.advance(clock.id, {"frozen_time": target})
        assert caught.value.param == "frozen_time"
    on_clock(sandbox, clock).subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="two intervals"):
        api.advance(clock.id, {"frozen_time": JANUARY_31 + 60 * DAY})
    advance(sandbox, clock, JANUARY_31 + 59 * DAY)


def test_three_customers_to_a_clock_which_lists_leave_out(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    made = [sandbox.api.customers.create({"test_clock": clock.id}).id for _ in range(3)]
    with pytest.raises(stripe.InvalidRequestError, match="at most 3"):
        sandbox.api.customers.create({"test_clock": clock.id})
    with pytest.raises(stripe.InvalidRequestError, match="No such test clock"):
        sandbox.api.customers.create({"test_clock": "clock_no"})
    api = sandbox.api.customers
    assert [c.id for c in api.list({"test_clock": clock.id}).data] == made[::-1]
    assert not {c.id for c in api.list({"limit": 100}).data} & set(made)
    shop = on_clock(sandbox, clock_of(sandbox))
    started, listing = shop.subscribe(), sandbox.api.subscriptions.list
    clocks = sandbox.api.customers.retrieve(shop.customer).test_clock
    assert [s.id for s in listing({"test_clock": clocks}).data] == [started.id]
    assert [s.id for s in listing({"customer": shop.customer}).data] == [started.id]
    assert started.id not in {s.id for s in listing({"limit": 100}).data}


def test_what_lives_on_an_advancing_clock_cannot_be_changed(sandbox: Sandbox) -> None:
    clock = clock_of(sandbox)
    shop = on_clock(sandbox, clock)
    for _ in range(3):
        shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        shop.subscribe()
    statuses: list[int] = []
    is_over = threading.Event()

    def disturb() -> None:
        while not is_over.is_set():
            url, form = f"/v1/customers/{shop.customer}", {"name": str(time.time())}
            statuses.append(sandbox.http.post(url, headers=KEY, data=form).status_code)

    other = threading.Thread(target=disturb)
    other.start()
    advance(sandbox, clock, FEBRUARY_28 + DAY)
    is_over.set()
    other.join()
    assert set(statuses) == {200, 429}
    invoices = sandbox.api.invoices.list({"customer": shop.customer, "limit": 50}).data
    assert [invoice.status for invoice in invoices] == 6 * ["paid"]


def test_a_deleted_clock_takes_its_customers_along(sandbox: Sandbox, hooks: Receiver) -> None:
    clock = clock_of(sandbox)
    shop = on_clock(sandbox, clock)
    started = shop.subscribe()
    assert sandbox.api.test_helpers.test_clocks.delete(clock.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such test clock"):
        sandbox.api.test_helpers.test_clocks.retrieve(clock.id)
    assert sandbox.api.customers.retrieve(shop.customer).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        sandbox.api.subscriptions.retrieve(started.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such invoice"):
        sandbox.api.invoices.retrieve(started.latest_invoice)
    sandbox.quiet()
    assert "customer.subscription.deleted" in hooks.types(started.id)
    assert "test_helpers.test_clock.deleted" in hooks.types(clock.id)
