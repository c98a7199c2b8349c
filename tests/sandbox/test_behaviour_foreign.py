"""Objects that most sellers never make, and meet all the same; each rule by its row."""

from typing import Any

import pytest
import stripe

from sandbox.stripe.method_types import OTHERS
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox


def other(sandbox: Sandbox, kind: str, *script: str) -> str:
    """Make a payment method that is no card."""
    made = sandbox.control("payment-methods", type=kind, script=list(script) or ["ok"])
    return str(made["id"])


def sent(shop: Shop, amount: int = 900) -> Any:
    """Return an open invoice that waits for its money."""
    wanted: Any = {"customer": shop.customer, "collection_method": "send_invoice"}
    invoice = shop.sandbox.api.invoices.create({**wanted, "days_until_due": 3})
    line: Any = {"customer": shop.customer, "amount": amount, "currency": "usd"}
    shop.sandbox.api.invoice_items.create({**line, "invoice": invoice.id})
    return shop.sandbox.api.invoices.finalize_invoice(invoice.id)


def record(shop: Shop, value: int, outcome: Any = "guaranteed", currency: str = "usd") -> str:
    """Report a payment that was made elsewhere."""
    now = int(shop.sandbox.now())
    wanted: dict[str, Any] = {
        "amount_requested": {"currency": currency, "value": value},
        "initiated_at": now,
        "outcome": outcome,
        "payment_method_details": {"type": "custom", "custom": {"display_name": "Cash"}},
        "customer_details": {"customer": shop.customer},
        outcome: {f"{outcome}_at": now},
    }
    made = shop.sandbox.api.payment_records.report_payment(wanted)
    assert shop.sandbox.api.payment_records.retrieve(made.id).id == made.id
    return str(made.id)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_payment_methods_have_no_card(kind: str, shop: Shop, sandbox: Sandbox) -> None:
    method = other(sandbox, kind, "ok", "insufficient_funds")
    kept = sandbox.api.payment_methods.attach(method, {"customer": shop.customer})
    assert kept.type == kind
    assert "card" not in kept.to_dict()
    shown = kept[kind].to_dict() | {"fingerprint": None}
    assert shown == OTHERS[kind] | {"fingerprint": None}
    listed = sandbox.api.customers.payment_methods.list(shop.customer)
    assert [each.id for each in listed.data] == [method]
    cards = sandbox.api.customers.payment_methods.list(shop.customer, {"type": "card"})
    assert cards.data == []
    started = shop.subscribe(default_payment_method=method, expand=["latest_invoice.payments"])
    assert started.status == "active"
    intent_id = started.latest_invoice.payments.data[0].payment.payment_intent
    intent = sandbox.api.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    details = intent.latest_charge.payment_method_details.to_dict()
    assert (details["type"], "card" in details) == (kind, False)
    refund = sandbox.api.refunds.create({"payment_intent": intent_id})
    assert refund.status == "succeeded"
    sandbox.advance(days=32)
    late = shop.see(started.id)
    assert late.status == "past_due"
    failed = late.latest_invoice.payments.data[0].payment.payment_intent
    assert failed.last_payment_error.payment_method_type == kind
    sandbox.api.payment_methods.detach(method)


def test_a_payment_record_pays_an_invoice(shop: Shop, sandbox: Sandbox) -> None:
    invoice = sent(shop)
    pay: Any = {"payment_record": record(shop, 900)}
    paid = sandbox.api.invoices.attach_payment(invoice.id, {**pay, "expand": ["payments"]})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 900, 0)
    by = {each.payment.type: each for each in paid.payments.data}
    assert by["payment_record"].payment.to_dict() == {**pay, "type": "payment_record"}
    assert (by["payment_record"].status, by["payment_record"].amount_paid) == ("paid", 900)
    assert by["payment_intent"].status == "canceled"
    assert sandbox.ledger(invoice=invoice.id) == []


def test_a_payment_record_can_pay_a_part(shop: Shop, sandbox: Sandbox) -> None:
    invoice = sent(shop)
    pay: Any = {"payment_record": record(shop, 400)}
    part = sandbox.api.invoices.attach_payment(invoice.id, pay)
    assert (part.status, part.amount_paid, part.amount_remaining) == ("open", 400, 500)
    for wrong in (record(shop, 501), record(shop, 500, "failed"), record(shop, 1, currency="eur")):
        with pytest.raises(stripe.InvalidRequestError):
            sandbox.api.invoices.attach_payment(invoice.id, {"payment_record": wrong})
    card = shop.give_card("ok")
    sandbox.api.invoices.pay(invoice.id, {"payment_method": card})
    (row,) = sandbox.ledger(invoice=invoice.id)
    assert (row["amount"], row["outcome"]) == (500, "succeeded")
    filters: Any = {"payment": {"type": "payment_record", **pay}}
    listed = sandbox.api.invoice_payments.list(filters).data
    assert [each.invoice for each in listed] == [invoice.id]


def test_an_invoice_that_is_sent_falls_due(shop: Shop, sandbox: Sandbox) -> None:
    terms: Any = {"collection_method": "send_invoice", "days_until_due": 5}
    started = shop.subscribe(**terms)
    sandbox.advance(seconds=3_700)
    waiting = shop.see(started.id)
    invoice = waiting.latest_invoice
    assert (waiting.status, invoice.status, invoice.attempted) == ("active", "open", False)
    assert abs(invoice.due_date - sandbox.now() - 5 * 86_400) < 3_700
    sandbox.advance(days=6)
    assert shop.see(started.id).status == "past_due"
    assert sandbox.api.customers.retrieve(shop.customer).delinquent is True
    assert sandbox.ledger(subscription=started.id) == []
    sandbox.api.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert shop.see(started.id).status == "active"


def test_a_deleted_customer_is_known_by_the_id_alone(shop: Shop, sandbox: Sandbox) -> None:
    card = shop.give_card("ok")
    started = shop.subscribe()
    sandbox.api.customers.delete(shop.customer)
    gone = {"id": shop.customer, "object": "customer", "deleted": True}
    for read, object_id in (
        (sandbox.api.subscriptions.retrieve, started.id),
        (sandbox.api.invoices.retrieve, started.latest_invoice),
    ):
        assert read(object_id, {"expand": ["customer"]}).customer.to_dict() == gone
    assert sandbox.api.customers.retrieve(shop.customer).to_dict() == gone
    assert sandbox.api.payment_methods.retrieve(card).customer is None
    assert sandbox.api.subscriptions.retrieve(started.id).status == "canceled"
