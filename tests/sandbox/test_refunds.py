"""Refunds, and the one-off payments that they pay back."""

import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox


def pay(shop: Shop, *script: str, amount: int = 1_000, **params: Any) -> Any:
    card = shop.give_card(*script)
    return shop.sandbox.api.payment_intents.create(
        {
            "amount": amount,
            "currency": "usd",
            "customer": shop.customer,
            "payment_method": card,
            "confirm": True,
            "metadata": {"payment_id": "ours"},
            **params,
        }
    )


def test_a_payment_is_refunded_in_parts(shop: Shop, hooks: Receiver) -> None:
    api = shop.sandbox.api
    intent = pay(shop, "ok")
    body = {"payment_intent": intent.id, "amount": 400, "metadata": {"refund_id": "r1"}}
    first = api.refunds.create({**body, "reason": "requested_by_customer"})
    assert (first.amount, first.status, first.charge) == (400, "succeeded", intent.latest_charge)
    assert first.metadata.to_dict() == {"refund_id": "r1"}
    charge = api.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (400, False)
    second = api.refunds.create({"charge": charge.id})
    assert second.amount == 600
    charge = api.charges.retrieve(charge.id)
    assert (charge.amount_refunded, charge.refunded) == (1_000, True)
    assert api.refunds.retrieve(first.id, {"expand": ["charge"]}).charge.id == charge.id
    listed = api.refunds.list({"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [second.id, first.id]
    rows = shop.sandbox.ledger(kind="refund", payment_intent=intent.id)
    assert [(row["amount"], row["outcome"]) for row in rows] == [
        (400, "succeeded"),
        (600, "succeeded"),
    ]
    shop.sandbox.quiet()
    assert hooks.types(first.id) == ["refund.created"]
    assert hooks.types(charge.id).count("charge.refunded") == 2


def test_no_more_than_was_paid_goes_back(shop: Shop) -> None:
    refunds = shop.sandbox.api.refunds
    intent = pay(shop, "ok")
    with pytest.raises(stripe.InvalidRequestError) as much:
        refunds.create({"payment_intent": intent.id, "amount": 1_001})
    assert (much.value.http_status, much.value.param) == (400, "amount")
    refunds.create({"payment_intent": intent.id, "amount": 999})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        refunds.create({"payment_intent": intent.id, "amount": 2})
    refunds.create({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as done:
        refunds.create({"payment_intent": intent.id})
    assert done.value.code == "charge_already_refunded"


def test_what_cannot_be_refunded(shop: Shop) -> None:
    refunds = shop.sandbox.api.refunds
    waiting = pay(shop, "authentication_required")
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        refunds.create({"payment_intent": waiting.id})
    with pytest.raises(stripe.CardError) as declined:
        pay(shop, "insufficient_funds")
    failed: Any = declined.value.error
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        refunds.create({"charge": failed.charge})
    other = pay(shop, "ok")
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        refunds.create({"charge": other.latest_charge, "payment_intent": waiting.id})
    for params, code in (
        ({}, "parameter_missing"),
        ({"payment_intent": "pi_no"}, "resource_missing"),
        ({"charge": "ch_no"}, "resource_missing"),
        ({"charge": other.latest_charge, "amount": 0}, "parameter_invalid_integer"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            refunds.create(params)
        assert (refused.value.http_status, refused.value.code) == (400, code)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        refunds.retrieve("re_no")
    assert missing.value.http_status == 404


def test_a_key_refunds_once_also_after_a_lost_answer(shop: Shop, sandbox: Sandbox) -> None:
    intent, key = pay(shop, "ok"), str(uuid.uuid4())
    faults = [{"match": "POST /v1/refunds", "times": 1, "drop": True}]
    sandbox.control("faults", api=faults)
    body = {"payment_intent": intent.id, "amount": 100}
    with pytest.raises(stripe.APIConnectionError):
        sandbox.api.refunds.create(body, {"idempotency_key": key})
    again = sandbox.api.refunds.create(body, {"idempotency_key": key})
    (row,) = sandbox.ledger(kind="refund", payment_intent=intent.id)
    assert (row["amount"], row["idempotency_key"]) == (again.amount, key)


def test_a_challenged_payment_is_confirmed_or_canceled(shop: Shop, hooks: Receiver) -> None:
    api = shop.sandbox.api
    intent = pay(shop, "authentication_required", "ok", return_url="https://example.com/back")
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url.return_url == "https://example.com/back"
    assert api.payment_intents.confirm(intent.id).status == "succeeded"
    other = pay(shop, "authentication_required")
    assert api.payment_intents.cancel(other.id).status == "canceled"
    shop.sandbox.quiet()
    assert "payment_intent.canceled" in hooks.types(other.id)
