"""Customers: their particulars, their balance, and their end."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox


def test_particulars(sandbox: Sandbox) -> None:
    api = sandbox.api.customers
    made = api.create(
        {
            "address": {"city": "Rome", "country": "IT"},
            "shipping": {"name": "Eve", "address": {"line1": "Via 1"}},
            "preferred_locales": ["it", "en"],
            "phone": "+39",
            "tax_exempt": "reverse",
            "invoice_prefix": "ROMA",
            "next_invoice_sequence": 7,
            "invoice_settings": {"footer": "Ciao", "custom_fields": [{"name": "a", "value": "b"}]},
        }
    )
    assert (made.address.city, made.address.line1) == ("Rome", None)
    assert (made.shipping.name, made.shipping.address.line1) == ("Eve", "Via 1")
    assert (made.preferred_locales, made.tax_exempt) == (["it", "en"], "reverse")
    assert (made.invoice_prefix, made.next_invoice_sequence) == ("ROMA", 7)
    assert made.invoice_settings.custom_fields[0].value == "b"
    invoice = sandbox.api.invoices.create({"customer": made.id})
    assert (invoice.customer_tax_exempt, invoice.customer_shipping.name) == ("reverse", "Eve")
    opened = sandbox.api.invoices.finalize_invoice(invoice.id)
    assert (opened.number, opened.customer_address.city) == ("ROMA-0007", "Rome")
    changed = api.update(made.id, {"address": "", "shipping": "", "tax_exempt": "none"})
    assert (changed.address, changed.shipping, changed.tax_exempt) == (None, None, "none")
    assert (changed.invoice_settings.footer, changed.phone) == ("Ciao", "+39")


def test_balance_moves_are_kept(sandbox: Sandbox) -> None:
    customer = sandbox.api.customers.create({"balance": -500})
    assert (customer.balance, customer.currency) == (-500, "usd")
    api = sandbox.api.customers.balance_transactions
    made = api.create(customer.id, {"amount": 200, "currency": "usd", "description": "Fee"})
    assert (made.type, made.amount, made.ending_balance) == ("adjustment", 200, -300)
    assert sandbox.api.customers.update(customer.id, {"balance": 0}).balance == 0
    moves = api.list(customer.id).data
    assert [(m.type, m.amount, m.ending_balance) for m in moves] == [
        ("adjustment", 300, 0), ("adjustment", 200, -300), ("initial", -500, -500),
    ]  # fmt: skip
    noted = api.update(customer.id, made.id, {"metadata": {"a": "1"}})
    assert (noted.description, noted.metadata["a"]) == ("Fee", "1")
    other = sandbox.api.customers.create({})
    with pytest.raises(stripe.InvalidRequestError):
        api.create(customer.id, {"amount": 0, "currency": "usd"})
    assert api.create(customer.id, {"amount": 1, "currency": "eur"}).ending_balance == 1
    assert sandbox.api.customers.retrieve(customer.id).balance == 0
    with pytest.raises(stripe.InvalidRequestError, match="No such"):
        api.retrieve(other.id, made.id)


def test_a_deleted_customers_subscriptions_end(
    shop: Shop, sandbox: Sandbox, hooks: Receiver
) -> None:
    card = shop.give_card("ok")
    started = shop.subscribe()
    assert sandbox.api.customers.delete(shop.customer).deleted is True
    seen = sandbox.api.customers.retrieve(shop.customer)
    assert (seen.deleted, seen.id) == (True, shop.customer)
    ended: Any = sandbox.api.subscriptions.retrieve(started.id, {"expand": ["customer"]})
    assert (ended.status, ended.customer.deleted) == ("canceled", True)
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        sandbox.api.customers.update(shop.customer, {"name": "Eve"})
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.subscribe()
    assert sandbox.api.payment_methods.retrieve(card).customer is None
    listed = sandbox.api.customers.list({"limit": 100}).data
    assert shop.customer not in {customer.id for customer in listed}
    sandbox.quiet()
    assert "customer.deleted" in hooks.types(shop.customer)
    assert "customer.subscription.deleted" in hooks.types(started.id)
