"""How subscriptions behave, each rule by its row in BEHAVIOUR.md; also at Stripe, with a key."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.places import Place, World

DAY = 86_400


def period_of(subscription: Any) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def intent_of(subscription: Any) -> Any:
    return subscription.latest_invoice.payments.data[0].payment.payment_intent


def fail_renewal(world: World) -> Any:
    """Return a subscription whose first renewal was declined."""
    world.give_card()
    started = world.subscribe()
    world.give_card("pm_card_chargeCustomerFail")
    return world.renew(started.id)


def test_a_paid_start_is_active(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    assert (started.status, started.latest_invoice.status) == ("active", "paid")
    assert started.latest_invoice.billing_reason == "subscription_create"
    assert started.billing_mode.type == "flexible"


def test_a_declined_start_is_incomplete(world: World) -> None:
    world.give_card("pm_card_chargeCustomerFail")
    started = world.subscribe(payment_behavior="allow_incomplete")
    assert (started.status, started.latest_invoice.status) == ("incomplete", "open")
    assert intent_of(started).status == "requires_payment_method"


def test_a_start_that_wants_authentication_is_incomplete(world: World) -> None:
    world.give_card("pm_card_threeDSecure2Required")
    started = world.subscribe(payment_behavior="allow_incomplete")
    assert started.status == "incomplete"
    assert intent_of(started).status == "requires_action"
    assert intent_of(started).next_action is not None


def test_a_start_that_must_not_be_incomplete_leaves_nothing(world: World) -> None:
    world.give_card("pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as declined:
        world.subscribe(payment_behavior="error_if_incomplete")
    assert declined.value.http_status == 402
    left = world.api.subscriptions.list({"customer": world.customer, "status": "all"})
    assert left.data == []


def test_default_incomplete_waits_for_a_confirmation(world: World) -> None:
    world.give_card()
    path = "latest_invoice.confirmation_secret"
    started = world.api.subscriptions.create(
        {
            "customer": world.customer,
            "items": [{"price": world.price()}],
            "payment_behavior": "default_incomplete",
            "expand": [path],
        }
    )
    assert (started.status, started.latest_invoice.status) == ("incomplete", "open")
    assert "_secret_" in started.latest_invoice.confirmation_secret.client_secret


def test_incomplete_expires_after_23_hours(world: World) -> None:
    world.give_card("pm_card_chargeCustomerFail")
    started = world.subscribe()
    world.advance(seconds=22 * 3_600)
    assert world.see(started.id).status == "incomplete"
    world.advance(seconds=2 * 3_600)
    expired = world.see(started.id)
    assert (expired.status, expired.latest_invoice.status) == ("incomplete_expired", "void")


def test_an_incomplete_start_becomes_active_when_it_is_paid(world: World) -> None:
    world.give_card("pm_card_chargeCustomerFail")
    started = world.subscribe()
    world.api.invoices.pay(started.latest_invoice.id, {"payment_method": world.give_card()})
    assert world.see(started.id).status == "active"


def test_a_renewal_is_a_draft_for_an_hour(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    end = period_of(started)[1]
    world.advance(to=end + 60)
    drafted = world.see(started.id)
    assert (drafted.status, drafted.latest_invoice.status) == ("active", "draft")
    assert drafted.latest_invoice.billing_reason == "subscription_cycle"
    assert drafted.latest_invoice.id != started.latest_invoice.id
    world.advance(to=end + 3_700)
    paid = world.see(started.id)
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")


def test_the_period_is_on_the_items_and_follows_the_last(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    renewed = world.renew(started.id)
    assert period_of(renewed)[0] == period_of(started)[1]
    assert "current_period_end" not in renewed.to_dict()


def test_a_declined_renewal_is_past_due(world: World) -> None:
    failed = fail_renewal(world)
    assert (failed.status, failed.latest_invoice.status) == ("past_due", "open")
    assert (failed.latest_invoice.attempted, failed.latest_invoice.attempt_count) == (True, 1)
    assert intent_of(failed).last_payment_error.code == "card_declined"
    world.event("invoice.payment_failed", failed.latest_invoice.id)


def test_paying_the_latest_invoice_makes_active(world: World) -> None:
    failed = fail_renewal(world)
    paid = world.api.invoices.pay(failed.latest_invoice.id, {"payment_method": world.give_card()})
    assert paid.status == "paid"
    assert world.see(failed.id).status == "active"
    world.event("invoice.paid", paid.id)


def test_marking_the_latest_invoice_uncollectible_makes_active(world: World) -> None:
    failed = fail_renewal(world)
    marked = world.api.invoices.mark_uncollectible(failed.latest_invoice.id)
    assert marked.status == "uncollectible"
    assert world.see(failed.id).status == "active"


def test_voiding_the_latest_invoice_makes_active(world: World) -> None:
    failed = fail_renewal(world)
    assert world.api.invoices.void_invoice(failed.latest_invoice.id).status == "void"
    assert world.see(failed.id).status == "active"


def test_the_status_follows_the_latest_invoice_only(world: World) -> None:
    older = fail_renewal(world)
    newer = world.renew(older.id)
    card = world.give_card()
    assert newer.latest_invoice.id != older.latest_invoice.id
    world.api.invoices.pay(older.latest_invoice.id, {"payment_method": card})
    assert world.see(older.id).status == "past_due"
    world.api.invoices.pay(newer.latest_invoice.id, {"payment_method": card})
    assert world.see(older.id).status == "active"


def test_a_cancellation_at_the_period_end_keeps_it_active_until_then(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    end = period_of(started)[1]
    planned = world.api.subscriptions.update(started.id, {"cancel_at_period_end": True})
    assert (planned.status, planned.cancel_at_period_end) == ("active", True)
    assert (planned.cancel_at, planned.ended_at) == (end, None)
    world.advance(to=end + 60)
    ended = world.see(started.id)
    assert (ended.status, ended.latest_invoice.id) == ("canceled", started.latest_invoice.id)
    world.event("customer.subscription.deleted", started.id)


def test_a_planned_cancellation_can_be_taken_back(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.api.subscriptions.update(started.id, {"cancel_at_period_end": True})
    kept = world.api.subscriptions.update(started.id, {"cancel_at_period_end": False})
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)
    assert world.renew(started.id).status == "active"


def test_a_canceled_subscription_can_hardly_be_changed(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    gone = world.api.subscriptions.cancel(started.id)
    assert (gone.status, gone.cancellation_details.reason) == ("canceled", "cancellation_requested")
    with pytest.raises(stripe.InvalidRequestError):
        world.api.subscriptions.update(started.id, {"cancel_at_period_end": True})
    changed = world.api.subscriptions.update(started.id, {"metadata": {"why": "known"}})
    assert changed.metadata["why"] == "known"


def test_a_canceled_subscription_no_longer_collects_its_open_invoices(world: World) -> None:
    failed = fail_renewal(world)
    world.api.subscriptions.cancel(failed.id)
    left = world.api.invoices.retrieve(failed.latest_invoice.id)
    assert (left.status, left.auto_advance) == ("open", False)


def test_months_are_reckoned_from_the_anchor(place: Place) -> None:
    begin = int(datetime(2031, 1, 31, 12, tzinfo=UTC).timestamp())
    world = World(place, begin)
    world.give_card()
    started = world.subscribe()
    ends = [period_of(started)[1]]
    ends += [period_of(world.renew(started.id))[1] for _ in range(2)]
    assert [datetime.fromtimestamp(end, UTC).date().isoformat() for end in ends] == [
        "2031-02-28",
        "2031-03-31",
        "2031-04-30",
    ]
    world.end()


def test_the_quantity_multiplies_the_price(world: World) -> None:
    world.give_card()
    started = world.subscribe(items=[{"price": world.price(700), "quantity": 3}])
    assert started.latest_invoice.total == 2_100
    assert started.latest_invoice.lines.data[0].quantity == 3


def test_an_upgrade_billed_at_once_costs_the_rest_of_the_period(world: World) -> None:
    world.give_card()
    started = world.subscribe(world.price(3_000))
    begin, end = period_of(started)
    half = begin + (end - begin) // 2
    world.advance(to=half)
    change = {
        "items": [{"id": started["items"].data[0].id, "price": world.price(9_000)}],
        "proration_behavior": "always_invoice",
        "proration_date": half,
    }
    world.api.subscriptions.update(started.id, change)
    upgraded = world.see(started.id)
    invoice = upgraded.latest_invoice
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert (invoice.amount_paid, period_of(upgraded)) == (3_000, (begin, end))
    assert sorted(line.amount for line in invoice.lines.data) == [-1_500, 4_500]


def test_prorations_wait_for_the_next_invoice_if_nothing_else_is_said(world: World) -> None:
    world.give_card()
    started = world.subscribe(world.price(3_000))
    begin, end = period_of(started)
    change = {
        "items": [{"id": started["items"].data[0].id, "price": world.price(9_000)}],
        "proration_date": begin + (end - begin) // 2,
    }
    world.advance(to=begin + (end - begin) // 2)
    world.api.subscriptions.update(started.id, change)
    assert world.see(started.id).latest_invoice.id == started.latest_invoice.id
    assert world.renew(started.id).latest_invoice.total == 9_000 + 3_000


def test_a_change_that_must_be_paid_first_waits_as_a_pending_update(world: World) -> None:
    world.give_card()
    started = world.subscribe(world.price(1_000))
    world.give_card("pm_card_chargeCustomerFail")
    dear = world.price(9_000)
    world.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": started["items"].data[0].id, "price": dear}],
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    waiting = world.see(started.id)
    assert waiting.status == "active"
    assert waiting["items"].data[0].price.unit_amount == 1_000
    assert waiting.pending_update.subscription_items[0].price.id == dear
    world.api.invoices.pay(waiting.latest_invoice.id, {"payment_method": world.give_card()})
    applied = world.see(started.id)
    assert (applied.pending_update, applied["items"].data[0].price.id) == (None, dear)


def test_pausing_the_collection_keeps_it_active(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.api.subscriptions.update(started.id, {"pause_collection": {"behavior": "void"}})
    renewed = world.renew(started.id)
    assert (renewed.status, renewed.latest_invoice.status) == ("active", "void")


def test_an_invoice_carries_its_subscriptions_metadata(world: World) -> None:
    world.give_card()
    started = world.subscribe(metadata={"subscription_id": "ours"})
    details = started.latest_invoice.parent.subscription_details
    assert (details.subscription, details.metadata["subscription_id"]) == (started.id, "ours")


def test_the_subscriptions_card_comes_before_the_customers(world: World) -> None:
    failing = world.give_card("pm_card_chargeCustomerFail")
    good = world.api.payment_methods.attach("pm_card_visa", {"customer": world.customer})
    started = world.subscribe(default_payment_method=good.id)
    assert (started.status, intent_of(started).payment_method) == ("active", good.id)
    customer = world.api.customers.retrieve(world.customer)
    assert customer.invoice_settings.default_payment_method == failing
