"""The balance: fees, what is pending, and a sum that is right."""

from typing import Any

import pytest

from tests.sandbox.conftest import Shop
from tests.sandbox.paying import charge_of, pay
from tests.sandbox.servers import Sandbox

DAY = 86_400


def entries(sandbox: Sandbox, source: str) -> list[Any]:
    listed = sandbox.api.balance_transactions.list({"source": source})
    return [(e.type, e.amount, e.fee, e.net, e.reporting_category) for e in listed.data]


def sums(sandbox: Sandbox, currency: str) -> tuple[int, int]:
    balance = sandbox.api.balance.retrieve()
    amounts = [
        sum(entry.amount for entry in part if entry.currency == currency)
        for part in (balance.available, balance.pending)
    ]
    return amounts[0], amounts[1]


@pytest.mark.parametrize(
    ("amount", "fee"), [(50, 31), (100, 33), (1_000, 59), (2_000, 88), (99_999_999, 2_900_030)]
)
def test_a_charge_costs_its_fee(amount: int, fee: int, sandbox: Sandbox) -> None:
    """Docs: /api/balance_transactions/object, /expand/use-cases#stripe-fee-for-payment"""
    charge = charge_of(sandbox, pay(sandbox, amount=amount), "balance_transaction")
    entry = charge.balance_transaction
    assert (entry.amount, entry.fee, entry.net) == (amount, fee, amount - fee)
    (detail,) = entry.fee_details
    assert (detail.amount, detail.type) == (fee, "stripe_fee")
    assert (entry.source, entry.type, entry.reporting_category) == (charge.id, "charge", "charge")


def test_asynchronous_capture_books_later(sandbox: Sandbox) -> None:
    """Docs: /payments/payment-intents/asynchronous-capture"""
    answered = pay(sandbox, expand=["latest_charge"]).latest_charge
    assert (answered.captured, answered.balance_transaction) == (True, None)
    at_once = pay(sandbox, capture_method="automatic", expand=["latest_charge"]).latest_charge
    assert at_once.balance_transaction.startswith("txn_")
    sandbox.advance(seconds=2)
    assert sandbox.api.charges.retrieve(answered.id).balance_transaction
    listed = sandbox.api.events.list({"type": "charge.updated", "limit": 1})
    assert listed.data[0].data.object.id == answered.id


def test_an_invoices_charge_is_booked_at_once(shop: Shop) -> None:
    shop.give_card("ok")
    shop.subscribe()
    (charge,) = shop.sandbox.api.charges.list({"customer": shop.customer}).data
    assert entries(shop.sandbox, charge.id) == [("charge", 2_000, 88, 1_912, "charge")]


def test_the_balance_sums_up_by_currency(own: Sandbox) -> None:
    """Docs: /api/balance/balance_object, /payouts#standard-payout-timing"""
    own.control("reset")
    assert (sums(own, "usd"), sums(own, "eur")) == ((0, 0), (0, 0))
    charge = charge_of(own, pay(own, amount=2_000))
    charge_of(own, pay(own, amount=1_000, currency="eur"))
    own.api.refunds.create({"charge": charge.id, "amount": 500})
    entry = own.api.balance_transactions.retrieve(charge.balance_transaction)
    assert (entry.status, entry.available_on % DAY) == ("pending", 0)
    assert DAY < entry.available_on - entry.created <= 2 * DAY
    assert (sums(own, "usd"), sums(own, "eur")) == ((0, 1_412), (0, 941))
    own.advance(days=2)
    assert (sums(own, "usd"), sums(own, "eur")) == ((1_412, 0), (941, 0))
    assert own.api.balance_transactions.retrieve(entry.id).status == "available"
    told = own.api.events.list({"type": "balance.available"}).data[0].data.object
    assert {part.currency: part.amount for part in told.available} == {"eur": 941, "usd": 1_412}


def test_some_funds_are_available_at_once(sandbox: Sandbox) -> None:
    """Docs: /testing#available-balance"""
    sandbox.advance(seconds=2)
    before = sums(sandbox, "usd")
    charge_of(sandbox, pay(sandbox, "pm_card_bypassPending"))
    after = sums(sandbox, "usd")
    assert (after[0] - before[0], after[1]) == (941, before[1])


def test_transactions_are_listed(sandbox: Sandbox) -> None:
    """Docs: /api/balance_transactions/list"""
    intent = pay(sandbox, currency="nok", capture_method="automatic")
    sandbox.api.refunds.create({"payment_intent": intent.id})
    api = sandbox.api.balance_transactions
    assert [e.type for e in api.list({"currency": "nok"}).data] == ["refund", "charge"]
    assert [e.amount for e in api.list({"currency": "nok", "type": "charge"}).data] == [1_000]
