"""Subscriptions: start, renewal, decline, recovery, trial, end."""

import calendar
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Receiver, Sandbox

DAY = 86_400


def intent_of(subscription: Any) -> Any:
    return subscription.latest_invoice.payments.data[0].payment.payment_intent


def period_of(subscription: Any) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def test_starts_paid_and_renews_after_the_draft_hour(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(metadata={"subscription_id": "ours"}, off_session=True)
    assert started.status == "active"
    first = sandbox.api.invoices.retrieve(started.latest_invoice)
    assert (first.status, first.billing_reason) == ("paid", "subscription_create")
    assert first.parent.subscription_details.metadata["subscription_id"] == "ours"
    end = period_of(started)[1]

    sandbox.advance(seconds=end - sandbox.now() + 1)
    renewed = shop.see(started.id)
    draft = renewed.latest_invoice
    assert (draft.status, draft.billing_reason, draft.next_payment_attempt) == (
        "draft", "subscription_cycle", None,
    )  # fmt: skip
    assert period_of(renewed)[0] == end == draft.lines.data[0].period.start
    assert renewed.status == "active"

    sandbox.advance(seconds=3_600)
    paid = shop.see(started.id).latest_invoice
    assert (paid.id, paid.status) == (draft.id, "paid")
    assert paid.status_transitions.paid_at == end + 3_600
    rows = sandbox.ledger(subscription=started.id)
    assert [row["outcome"] for row in rows] == ["succeeded", "succeeded"]
    assert rows[1]["sandbox_time"] == end + 3_600


def test_failed_renewal_stays_past_due_until_it_is_paid(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "insufficient_funds", "lost_card", "ok")
    started = shop.subscribe()
    sandbox.advance(days=40)
    failed = shop.see(started.id)
    assert failed.status == "past_due"
    invoice = failed.latest_invoice
    assert (invoice.status, invoice.attempted, invoice.attempt_count) == ("open", True, 1)
    assert invoice.next_payment_attempt is None
    error = intent_of(failed).last_payment_error
    assert (error.code, error.decline_code, error.advice_code) == (
        "card_declined", "insufficient_funds", "try_again_later",
    )  # fmt: skip

    with pytest.raises(stripe.CardError) as caught:
        sandbox.api.invoices.pay(invoice.id, {"off_session": True})
    declined = caught.value.error
    assert declined is not None
    assert (caught.value.http_status, declined.decline_code) == (402, "lost_card")
    assert declined.advice_code == "do_not_try_again"
    assert declined.payment_intent is not None
    assert sandbox.api.invoices.retrieve(invoice.id).attempt_count == 1

    paid = sandbox.api.invoices.pay(invoice.id, {"off_session": True})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 2_000, 0)
    assert shop.see(started.id).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        sandbox.api.invoices.pay(invoice.id)


def test_status_follows_the_latest_invoice_only(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "do_not_honor", "do_not_honor", "ok")
    started = shop.subscribe()
    sandbox.advance(days=64)
    newer, older, _ = sandbox.api.invoices.list({"subscription": started.id}).data
    assert (newer.status, older.status) == ("open", "open")
    sandbox.api.invoices.pay(older.id)
    assert shop.see(started.id).status == "past_due"
    sandbox.api.invoices.pay(newer.id)
    assert shop.see(started.id).status == "active"


@pytest.mark.parametrize("way", ["void_invoice", "mark_uncollectible"])
def test_forgiving_the_latest_invoice_makes_active(way: str, shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "generic_decline")
    started = shop.subscribe()
    sandbox.advance(days=32)
    assert shop.see(started.id).status == "past_due"
    invoice = getattr(sandbox.api.invoices, way)(shop.see(started.id).latest_invoice.id)
    assert invoice.status == {"void_invoice": "void"}.get(way, "uncollectible")
    after = shop.see(started.id)
    assert after.status == "active"
    wanted = "canceled" if way == "void_invoice" else "requires_payment_method"
    assert intent_of(after).status == wanted


def test_first_decline_is_incomplete_and_expires(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("insufficient_funds")
    started = shop.subscribe(payment_behavior="allow_incomplete", off_session=True)
    assert started.status == "incomplete"
    assert shop.see(started.id).latest_invoice.hosted_invoice_url.startswith(sandbox.url)
    sandbox.advance(seconds=23 * 3_600 - 5)
    assert shop.see(started.id).status == "incomplete"
    sandbox.advance(seconds=10)
    expired = shop.see(started.id)
    assert (expired.status, expired.latest_invoice.status) == ("incomplete_expired", "void")


def test_incomplete_becomes_active_when_paid(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(payment_behavior="default_incomplete")
    assert (started.status, sandbox.ledger(subscription=started.id)) == ("incomplete", [])
    sandbox.api.invoices.pay(started.latest_invoice)
    assert shop.see(started.id).status == "active"


def test_error_if_incomplete_leaves_a_charge_but_no_subscription(
    shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("stolen_card")
    with pytest.raises(stripe.CardError) as caught:
        shop.subscribe(payment_behavior="error_if_incomplete")
    assert caught.value.code == "card_declined"
    listed = sandbox.api.subscriptions.list({"customer": shop.customer, "status": "all"})
    assert listed.data == []
    assert [row["decline_code"] for row in sandbox.ledger(customer=shop.customer)] == [
        "stolen_card"
    ]


def test_without_any_card_only_default_incomplete_starts(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe()
    assert caught.value.code == "resource_missing"
    assert shop.subscribe(payment_behavior="default_incomplete").status == "incomplete"


def test_challenge_at_start_and_off_session(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("authentication_required")
    on_session = shop.see(shop.subscribe().id)
    assert (on_session.status, intent_of(on_session).status) == ("incomplete", "requires_action")
    assert intent_of(on_session).next_action.use_stripe_sdk.stripe_js.startswith(sandbox.url)
    off_session = shop.see(shop.subscribe(off_session=True).id)
    assert intent_of(off_session).status == "requires_payment_method"
    assert intent_of(off_session).last_payment_error.code == "authentication_required"
    with pytest.raises(stripe.CardError) as caught:
        sandbox.api.invoices.pay(off_session.latest_invoice.id)
    assert caught.value.code == "authentication_required"


def test_trial_ends_with_a_charge(shop: Shop, sandbox: Sandbox, hooks: Receiver) -> None:
    shop.give_card("ok")
    started = shop.subscribe(trial_period_days=14)
    assert (started.status, started.trial_end) == ("trialing", period_of(started)[1])
    assert sandbox.api.invoices.retrieve(started.latest_invoice).total == 0
    sandbox.advance(days=11, seconds=10)
    sandbox.quiet()
    assert "customer.subscription.trial_will_end" in hooks.types(started.id)
    sandbox.advance(days=4)
    after = shop.see(started.id)
    assert (after.status, after.latest_invoice.status) == ("active", "paid")
    assert [row["amount"] for row in sandbox.ledger(subscription=started.id)] == [2_000]


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("pause", "paused"), ("cancel", "canceled"), ("create_invoice", "past_due")],
)
def test_trial_ends_without_a_card(
    behavior: str, status: str, shop: Shop, sandbox: Sandbox, hooks: Receiver
) -> None:
    settings = {"end_behavior": {"missing_payment_method": behavior}}
    started = shop.subscribe(trial_period_days=7, trial_settings=settings)
    sandbox.advance(days=7, seconds=3_700)
    assert shop.see(started.id).status == status
    if status != "paused":
        return
    shop.give_card("ok")
    sandbox.advance(days=40)
    assert shop.see(started.id).status == "paused"
    waiting = sandbox.api.subscriptions.resume(started.id, {})
    assert (waiting.status, sandbox.ledger(subscription=started.id)) == ("paused", [])
    assert waiting.billing_cycle_anchor == period_of(waiting)[0]
    sandbox.api.invoices.pay(waiting.latest_invoice)
    assert shop.see(started.id).status == "active"
    sandbox.quiet()
    kinds = {"customer.subscription.paused", "customer.subscription.resumed"}
    assert kinds <= set(hooks.types(started.id))


def test_resume_may_wait_for_its_payment(shop: Shop, sandbox: Sandbox) -> None:
    settings = {"end_behavior": {"missing_payment_method": "pause"}}
    started = shop.subscribe(trial_period_days=5, trial_settings=settings)
    sandbox.advance(days=6)
    shop.give_card("do_not_honor")
    waits = {"payment_behavior": "resume_on_payment_success"}
    assert sandbox.api.subscriptions.resume(started.id, waits).status == "paused"
    sandbox.advance(days=1)
    voided = shop.see(started.id)
    assert (voided.status, voided.latest_invoice.status) == ("paused", "void")
    assert len(sandbox.ledger(subscription=started.id)) == 1

    again = sandbox.api.subscriptions.resume(started.id)
    assert len(sandbox.ledger(subscription=started.id)) == 1
    with pytest.raises(stripe.CardError):
        sandbox.api.invoices.pay(again.latest_invoice)
    assert shop.see(started.id).status == "past_due"


def test_cancel_now_and_at_period_end(shop: Shop, sandbox: Sandbox, hooks: Receiver) -> None:
    shop.give_card("ok")
    now, later = shop.subscribe(), shop.subscribe()
    canceled = sandbox.api.subscriptions.cancel(now.id)
    assert (canceled.status, canceled.cancellation_details.reason) == (
        "canceled", "cancellation_requested",
    )  # fmt: skip
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.api.subscriptions.cancel(now.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")

    update = sandbox.api.subscriptions.update
    planned = update(later.id, {"cancel_at_period_end": True})
    assert planned.cancel_at == period_of(later)[1]
    assert update(later.id, {"cancel_at_period_end": False}).cancel_at is None
    update(later.id, {"cancel_at": "min_period_end"})
    sandbox.advance(days=32)
    assert shop.see(later.id).status == "canceled"
    assert len(sandbox.ledger(subscription=later.id)) == 1
    sandbox.quiet()
    assert "customer.subscription.deleted" in hooks.types(later.id)
    listed = sandbox.api.subscriptions.list({"customer": shop.customer})
    assert listed.data == []


def test_default_card_is_the_subscriptions_before_the_customers(
    shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("lost_card")
    own = sandbox.api.payment_methods.attach(sandbox.card("ok"), {"customer": shop.customer})
    started = shop.subscribe(default_payment_method=own.id)
    assert started.status == "active"
    sandbox.api.payment_methods.detach(own.id)
    assert shop.see(started.id).default_payment_method is None
    sandbox.advance(days=32)
    assert shop.see(started.id).status == "past_due"


def test_card_that_paid_may_become_the_subscriptions(shop: Shop, sandbox: Sandbox) -> None:
    method = shop.give_card("ok")
    saving = {"save_default_payment_method": "on_subscription"}
    assert shop.subscribe(payment_settings=saving).default_payment_method == method
    assert shop.subscribe().default_payment_method is None


def test_months_are_reckoned_from_the_anchor(own: Sandbox) -> None:
    own.control("reset")
    year = datetime.fromtimestamp(own.now(), UTC).year + 1
    while calendar.isleap(year):
        year += 1
    last = datetime(year, 1, 31, 12, tzinfo=UTC).timestamp()
    own.advance(seconds=last - own.now())
    shop = open_shop(own)
    shop.give_card("ok")
    started = shop.subscribe()
    ends = []
    for _ in range(3):
        end = period_of(shop.see(started.id))[1]
        ends.append(datetime.fromtimestamp(end, UTC).strftime("%m-%d"))
        own.advance(seconds=end - own.now() + 3_700)
    assert ends == ["02-28", "03-31", "04-30"]


def test_updates_are_checked(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(metadata={"a": "1", "b": "2"})
    update: Any = sandbox.api.subscriptions.update
    assert update(started.id, {"metadata": {"a": "", "c": "3"}}).metadata.to_dict() == {
        "b": "2", "c": "3",
    }  # fmt: skip
    with pytest.raises(stripe.InvalidRequestError) as caught:
        update(started.id, {"items": [{"id": "si_x", "quantity": 2}]})
    assert (caught.value.code, caught.value.param) == ("resource_missing", "items[0][id]")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        update(started.id, {"application_fee_percent": 2})
    assert caught.value.code == "parameter_unknown"
    stranger = open_shop(sandbox)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        update(started.id, {"default_payment_method": stranger.give_card("ok")})
    assert (caught.value.code, caught.value.param) == (
        "resource_missing", "default_payment_method",
    )  # fmt: skip


def test_pause_keeps_the_debt_until_somebody_resumes(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "insufficient_funds", "ok")
    started = shop.subscribe()
    sandbox.advance(days=32)
    assert shop.see(started.id).status == "past_due"
    paused = sandbox.api.subscriptions.pause(started.id, {})
    assert paused.status == "paused"
    assert paused.status_details.paused.subscription.type == "pause_requested"
    assert sandbox.api.invoices.retrieve(paused.latest_invoice).status == "open"
    sandbox.advance(days=40)
    assert shop.see(started.id).status == "paused"
    resuming = sandbox.api.subscriptions.resume(
        started.id, {"payment_behavior": "resume_on_payment_success"}
    )
    assert resuming.status == "active"
    sandbox.api.subscriptions.cancel(started.id)
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.subscriptions.pause(started.id, {})
