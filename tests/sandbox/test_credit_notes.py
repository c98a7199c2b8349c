"""Credit notes: what they do to open and to paid invoices."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox


@pytest.fixture
def paid(shop: Shop) -> Any:
    shop.give_card("ok")
    return shop.see(shop.subscribe().id).latest_invoice


@pytest.fixture
def unpaid(shop: Shop) -> Any:
    return shop.see(shop.subscribe(payment_behavior="default_incomplete").id).latest_invoice


def kinds(hooks: Receiver, sandbox: Sandbox, object_id: str) -> set[str]:
    sandbox.quiet()
    return set(hooks.types(object_id))


def test_an_open_invoice_asks_for_less(
    unpaid: Any, shop: Shop, sandbox: Sandbox, hooks: Receiver
) -> None:
    api, line = sandbox.api.credit_notes, unpaid.lines.data[0]
    wanted: Any = {
        "invoice": unpaid.id,
        "lines": [
            {"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 400},
            {"type": "custom_line_item", "description": "Sorry", "unit_amount": 50, "quantity": 2},
        ],
        "reason": "order_change",
        "memo": "Half",
    }
    assert api.preview(wanted).total == 500
    assert [entry.amount for entry in api.preview_lines.list(wanted).data] == [400, 100]
    note = api.create(wanted)
    assert (note.type, note.pre_payment_amount, note.post_payment_amount) == ("pre_payment", 500, 0)
    assert (note.number, note.status) == (f"{unpaid.number}-CN-01", "issued")
    lines = api.line_items.list(note.id).data
    assert [entry.to_dict().get("invoice_line_item") for entry in lines] == [line.id, None]
    seen: Any = sandbox.api.invoices.retrieve(
        unpaid.id, {"expand": ["payments.data.payment.payment_intent"]}
    )
    assert (seen.total, seen.amount_due, seen.amount_remaining) == (2_000, 1_500, 1_500)
    assert seen.pre_payment_credit_notes_amount == 500
    assert seen.payments.data[0].payment.payment_intent.amount == 1_500
    assert api.void_credit_note(note.id).status == "void"
    back = sandbox.api.invoices.retrieve(unpaid.id)
    assert (back.amount_remaining, back.pre_payment_credit_notes_amount) == (2_000, 0)
    with pytest.raises(stripe.InvalidRequestError, match="void already"):
        api.void_credit_note(note.id)
    again = api.create({"invoice": unpaid.id, "amount": 600})
    method = shop.give_card("ok")
    done = sandbox.api.invoices.pay(unpaid.id, {"payment_method": method})
    assert (done.status, done.amount_paid) == ("paid", 1_400)
    assert sandbox.ledger(invoice=unpaid.id)[0]["amount"] == 1_400
    with pytest.raises(stripe.InvalidRequestError, match="open invoice"):
        api.void_credit_note(again.id)
    assert {"credit_note.created", "credit_note.voided"} == kinds(hooks, sandbox, note.id)


def test_a_credit_note_can_settle_an_open_invoice(
    unpaid: Any, shop: Shop, sandbox: Sandbox
) -> None:
    sandbox.api.credit_notes.create({"invoice": unpaid.id, "amount": 2_000})
    seen: Any = shop.see(unpaid.parent.subscription_details.subscription)
    assert (seen.status, seen.latest_invoice.status) == ("active", "paid")
    assert (seen.latest_invoice.amount_paid, seen.latest_invoice.amount_remaining) == (0, 0)
    assert sandbox.ledger(invoice=unpaid.id) == []


def test_a_paid_invoice_gives_back(paid: Any, sandbox: Sandbox, hooks: Receiver) -> None:
    api = sandbox.api.credit_notes
    note = api.create(
        {
            "invoice": paid.id,
            "amount": 900,
            "refund_amount": 500,
            "credit_amount": 300,
            "out_of_band_amount": 100,
            "expand": ["customer_balance_transaction", "refunds.refund"],
        }
    )
    assert (note.type, note.post_payment_amount, note.out_of_band_amount) == (
        "post_payment", 900, 100,
    )  # fmt: skip
    refund = note.refunds[0].refund
    assert (refund.amount, refund.status, note.refunds[0].amount_refunded) == (
        500, "succeeded", 500,
    )  # fmt: skip
    moved = note.customer_balance_transaction
    assert (moved.amount, moved.type, moved.credit_note) == (-300, "credit_note", note.id)
    assert sandbox.api.customers.retrieve(paid.customer).balance == -300
    seen = sandbox.api.invoices.retrieve(paid.id)
    assert (seen.status, seen.post_payment_credit_notes_amount) == ("paid", 900)
    assert len(sandbox.ledger(invoice=paid.id, kind="refund", amount=500)) == 1
    changed = api.update(note.id, {"memo": "Sorry", "metadata": {"a": "1"}})
    assert (changed.memo, changed.metadata["a"]) == ("Sorry", "1")
    assert [found.id for found in api.list({"invoice": paid.id}).data] == [note.id]
    assert {"credit_note.created", "credit_note.updated"} == kinds(hooks, sandbox, note.id)
    assert "charge.refunded" in kinds(hooks, sandbox, refund.charge)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"amount": 100}, "must equal"),
        ({"amount": 100, "refund_amount": 60, "credit_amount": 60}, "must equal"),
        ({"amount": 2_001, "refund_amount": 2_001}, "at most 2000"),
        ({}, "amount or lines"),
        ({"lines": [{"type": "custom_line_item"}]}, "unit_amount"),
        ({"lines": [{"type": "invoice_line_item", "invoice_line_item": "il_no"}]}, "No such"),
    ],
)
def test_senseless_credit_notes_are_refused(
    form: Any, words: str, paid: Any, sandbox: Sandbox
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        sandbox.api.credit_notes.create({"invoice": paid.id, **form})


def test_what_is_open_has_nothing_to_give_back(unpaid: Any, sandbox: Sandbox) -> None:
    api = sandbox.api.credit_notes
    with pytest.raises(stripe.InvalidRequestError, match="nothing to give back"):
        api.create({"invoice": unpaid.id, "amount": 100, "refund_amount": 100})
    sandbox.api.invoices.void_invoice(unpaid.id)
    with pytest.raises(stripe.InvalidRequestError, match="takes no credit note"):
        api.create({"invoice": unpaid.id, "amount": 100})
