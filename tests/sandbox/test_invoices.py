"""Invoices and intents off the main path."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox


def draft_of(shop: Shop, *script: str) -> Any:
    """Return a subscription's renewal while it is a draft."""
    shop.give_card(*script)
    started = shop.subscribe()
    end = started["items"].data[0].current_period_end
    shop.sandbox.advance(seconds=end - shop.sandbox.now() + 1)
    return shop.see(started.id).latest_invoice


def test_a_draft_waits_while_it_may_not_advance(shop: Shop, sandbox: Sandbox) -> None:
    draft = draft_of(shop, "ok")
    held = sandbox.api.invoices.update(draft.id, {"auto_advance": False, "metadata": {"a": "1"}})
    assert (held.automatically_finalizes_at, held.metadata["a"]) == (None, "1")
    sandbox.advance(seconds=4_000)
    assert sandbox.api.invoices.retrieve(draft.id).status == "draft"
    for refused in (sandbox.api.invoices.void_invoice, sandbox.api.invoices.mark_uncollectible):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            refused(draft.id)
        assert caught.value.code == "invoice_not_editable"
    sandbox.api.invoices.update(draft.id, {"auto_advance": True})
    sandbox.advance(seconds=3_600)
    assert sandbox.api.invoices.retrieve(draft.id).status == "paid"


def test_finalized_by_hand_is_charged_an_hour_later(shop: Shop, sandbox: Sandbox) -> None:
    draft = draft_of(shop, "ok")
    opened = sandbox.api.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.attempted) == ("open", False)
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.invoices.finalize_invoice(draft.id)
    sandbox.advance(seconds=3_600)
    paid = sandbox.api.invoices.retrieve(draft.id)
    assert (paid.status, paid.attempt_count) == ("paid", 1)
    (line,) = sandbox.api.invoices.line_items.list(draft.id).data
    assert (line.amount, line.quantity) == (2_000, 1)


def test_a_draft_can_be_paid_at_once_with_another_card(shop: Shop, sandbox: Sandbox) -> None:
    draft = draft_of(shop, "ok", "lost_card")
    other = sandbox.api.payment_methods.attach(sandbox.card("ok"), {"customer": shop.customer})
    paid = sandbox.api.invoices.pay(draft.id, {"payment_method": other.id})
    assert paid.status == "paid"
    payment = sandbox.api.invoice_payments.list({"invoice": draft.id, "status": "paid"}).data[0]
    assert sandbox.api.invoice_payments.retrieve(payment.id).amount_paid == 2_000
    found = sandbox.api.invoice_payments.list({"payment": payment.payment.to_dict()}).data
    assert [entry.id for entry in found] == [payment.id]
    stranger = sandbox.card("ok")
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.invoices.pay(shop.subscribe().latest_invoice, {"payment_method": stranger})


def test_uncollectible_can_still_be_paid_or_voided(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("do_not_honor", "ok")
    first, second = shop.subscribe(), shop.subscribe(payment_behavior="default_incomplete")
    invoices = sandbox.api.invoices
    for started in (first, second):
        written_off = invoices.mark_uncollectible(started.latest_invoice)
        assert written_off.status_details.uncollectible.reason == "user_forgiven"
    assert invoices.pay(first.latest_invoice).status == "paid"
    assert invoices.void_invoice(second.latest_invoice).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        invoices.pay(second.latest_invoice)


def test_paid_out_of_band_charges_nothing(shop: Shop, sandbox: Sandbox) -> None:
    started = shop.subscribe(payment_behavior="default_incomplete")
    with pytest.raises(stripe.InvalidRequestError, match="default_payment_method"):
        sandbox.api.invoices.pay(started.latest_invoice)
    paid = sandbox.api.invoices.pay(started.latest_invoice, {"paid_out_of_band": True})
    assert (paid.status, sandbox.ledger(customer=shop.customer)) == ("paid", [])
    assert shop.see(started.id).status == "active"


def test_canceling_an_incomplete_subscription_expires_it(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("lost_card")
    started = shop.subscribe()
    assert sandbox.api.subscriptions.cancel(started.id).status == "incomplete_expired"
    assert sandbox.api.invoices.retrieve(started.latest_invoice).status == "void"


def test_canceling_a_past_due_subscription_leaves_its_invoice(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "lost_card")
    started = shop.subscribe()
    sandbox.advance(days=32)
    assert sandbox.api.subscriptions.cancel(started.id).status == "canceled"
    invoice = shop.see(started.id).latest_invoice
    assert (invoice.status, invoice.auto_advance) == ("open", False)
    assert sandbox.api.invoices.void_invoice(invoice.id).status == "void"
    assert shop.see(started.id).status == "canceled"
    open_runs_of_conversation = {"customer": shop.customer, "status": "open"}
    assert sandbox.api.invoices.list(open_runs_of_conversation).data == []


def test_customer_completes_a_challenge_by_confirming(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("authentication_required", "ok")
    started = shop.see(shop.subscribe().id)
    intent = started.latest_invoice.payments.data[0].payment.payment_intent
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.payment_intents.cancel(intent.id)
    assert sandbox.api.payment_intents.confirm(intent.id).status == "succeeded"
    assert shop.see(started.id).status == "active"


def test_intents_wait_and_end(shop: Shop, sandbox: Sandbox) -> None:
    waiting = sandbox.api.payment_intents.create(
        {
            "amount": 300,
            "currency": "usd",
            "customer": shop.customer,
            "automatic_payment_methods": {"enabled": True},
        }
    )
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.payment_intents.confirm(waiting.id)
    ended = sandbox.api.payment_intents.cancel(waiting.id, {"cancellation_reason": "abandoned"})
    assert ended.status == sandbox.api.payment_intents.retrieve(waiting.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.payment_intents.confirm(waiting.id, {"payment_method": "pm_card_visa"})
    listed = sandbox.api.payment_intents.list({"customer": shop.customer}).data
    assert [intent.id for intent in listed] == [waiting.id]
    paid = sandbox.api.payment_intents.create(
        {
            "amount": 300,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "allowed_payment_method_types": ["card"],
            "confirm": True,
        }
    )
    assert sandbox.api.charges.retrieve(paid.latest_charge).payment_method_details.card.last4
    with pytest.raises(stripe.InvalidRequestError):  # used up without a customer
        sandbox.api.payment_methods.attach(paid.payment_method, {"customer": shop.customer})


def test_set_up_can_be_declined(shop: Shop, sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as caught:
        sandbox.api.setup_intents.create(
            {
                "customer": shop.customer,
                "payment_method": "pm_card_chargeDeclinedLostCard",
                "allowed_payment_method_types": ["card"],
                "confirm": True,
            }
        )
    error: Any = caught.value.error
    assert (error.decline_code, error.setup_intent.status) == (
        "lost_card", "requires_payment_method",
    )  # fmt: skip
    (kept,) = sandbox.api.setup_intents.list({"customer": shop.customer}).data
    assert sandbox.api.setup_intents.retrieve(kept.id).last_setup_error.code == "card_declined"
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.setup_intents.confirm(kept.id)


def test_customer_starts_with_a_card(shop: Shop, sandbox: Sandbox) -> None:
    made = sandbox.api.customers.create({"payment_method": "pm_card_mastercard", "name": "Ada"})
    (card,) = sandbox.api.payment_methods.list({"customer": made.id}).data
    assert card.card.brand == "mastercard"
    own = sandbox.api.customers.payment_methods.retrieve(made.id, card.id)
    named = sandbox.api.payment_methods.update(own.id, {"metadata": {"nick": "red"}})
    assert named.metadata["nick"] == "red"
    full = sandbox.api.customers.retrieve(made.id, {"expand": ["subscriptions"]})
    assert full.subscriptions.data == []
